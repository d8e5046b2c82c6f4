"""Videos in which no face was found: left out or scored 0.5, and told in either case."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from calibration.samples import FacelessVideo
from evaluate.data_facts import dataset_facts, validation_facts
from evaluate.faceless import faceless_of_facts, facts_of_faceless, require_faces, videos_at_half
from evaluate.faceless_text import faceless_names, faceless_text, faceless_warnings
from evaluate.facts import DatasetFacts
from evaluate.ladder import StageScores, ladder_from_scores
from evaluate.maps.gallery import gallery_samples
from evaluate.scores import FrameScore, video_scores_from_frames
from evaluate.scoring.score_files import read_scores
from evaluate.selection import Outcome, most_telling
from export.errors import DataError
from export.face_contract import FaceContract
from tests.evaluate.scored_run import VARIANTS, ScoredRun, write_scored_run

if TYPE_CHECKING:
    from pathlib import Path

    from export.face_contract import NoFace

# One has the name of a video that has a face, in another folder.
FACELESS = (
    FacelessVideo("Celeb-synthesis/id4_id9_0009.mp4", True, ("id4", "id9"), (("light", "dark"),)),
    FacelessVideo("Celeb-synthesis/id6_id1_0009.mp4", True, ("id6", "id1")),
    FacelessVideo("YouTube-real/id4_0000.mp4", False, ("id4",)),
)
OF_VALIDATION = (FacelessVideo("YouTube-real/09999.mp4", False, ("YouTube-real/09999",)),)


def scored_run(folder: Path, no_face: NoFace | None) -> ScoredRun:
    run = write_scored_run(folder)
    contract = replace(run.spec.contract, faces=FaceContract(no_face=no_face) if no_face else None)
    run = replace(
        run,
        spec=replace(run.spec, contract=contract),
        faceless={"test": FACELESS, "validation": OF_VALIDATION},
    )
    for name in VARIANTS:
        for role in ("test", "validation"):
            run.score(name, run.frames(name, role), role)
    return run


@pytest.mark.parametrize("no_face", ["exclude", None])
def test_they_are_left_out_counted_and_named(no_face: NoFace | None, tmp_path: Path) -> None:
    run = scored_run(tmp_path, no_face)
    found = run.evaluated()
    assert len(found.videos) == 30
    facts = dataset_facts(run.session(), found.variants)
    assert (facts.fake_videos, facts.real_videos, facts.faceless, facts.no_face) == (12, 18, 3, "exclude")
    assert facts.faceless_fakes == (FACELESS[0].video, FACELESS[1].video)
    assert facts.faceless_reals == (FACELESS[2].video,)
    assert faceless_warnings(facts) == (
        "no face was found in 3 videos (2 fake, 1 real), which are left out; the figures say nothing about such videos",
    )
    validation = validation_facts(run.spec, found.validation)
    assert validation is not None
    assert (validation.fake_videos, validation.real_videos, validation.faceless) == (12, 18, 1)


def test_they_are_scored_half_by_every_variant(tmp_path: Path) -> None:
    run = scored_run(tmp_path, "half")
    found = run.evaluated()
    assert len(found.videos) == 33
    # The two of one name carry their folders, and the one without a face its person and its columns.
    row = {video.sample: index for index, video in enumerate(found.videos)}
    names = ["id4_id9_0009.mp4", "id6_id1_0009.mp4", "YouTube-real/id4_0000.mp4"]
    assert {"Celeb-real/id4_0000.mp4", *names} <= row.keys()
    assert [found.videos[row[name]].has_face for name in names] == [False] * 3
    assert sum(video.has_face for video in found.videos) == 30
    assert found.videos[row[names[0]]].cluster == "id4"
    assert found.videos[row[names[0]]].attributes["light"] == "dark"
    labels = [video.is_fake for video in found.videos]
    for variant in VARIANTS:
        statistics = found.statistics[variant]
        assert [statistics.scores[row[name]] for name in names] == [0.5] * 3
        assert statistics.auc.value == pytest.approx(roc_auc_score(labels, statistics.scores), abs=1e-12)
        assert (statistics.quality.samples, statistics.frame_quality.samples) == (33, 60)
        stored = read_scores(run.folder.scores(variant))
        assert [video.score for video in stored.videos if not video.path] == [0.5] * 3
    facts = dataset_facts(run.session(), found.variants)
    assert (facts.fake_videos, facts.real_videos, facts.frames, facts.no_face) == (14, 19, 60, "half")
    assert "3 videos (2 fake, 1 real), which are scored 0.5 by every model alike" in faceless_warnings(facts)[0]
    validation = validation_facts(run.spec, found.validation)
    assert validation is not None
    assert (validation.fake_videos, validation.real_videos, validation.faceless) == (12, 19, 1)


def test_of_a_part_of_the_videos_they_stay(tmp_path: Path) -> None:
    run = scored_run(tmp_path, "half")
    lost = "Celeb-synthesis/id4_id5_0001.mp4"
    run.score("q16", [frame for frame in run.frames("q16") if frame.video != lost])
    found = run.evaluated(allow_partial=True)
    assert len(found.videos) == 32
    assert sum(not video.has_face for video in found.videos) == 3


def test_the_policy_needs_no_other_scores_of_frames(tmp_path: Path) -> None:
    run = scored_run(tmp_path, "exclude")
    run.evaluated()
    contract = replace(run.spec.contract, faces=FaceContract(no_face="half"))
    other = replace(run, spec=replace(run.spec, contract=contract))
    assert len(other.evaluated().videos) == 33
    assert len(run.evaluated().videos) == 30


def test_they_are_in_no_table_and_no_gallery() -> None:
    """Their score is called fake at 0.5, but says nothing about an engine, and there is nothing to show."""
    frames = [FrameScore(f"{i}.png", f"a/{i}", i % 2 == 0, (-1.0) ** (i // 2) * (1 + i)) for i in range(12)]
    faceless = [FacelessVideo(f"b/{name}", name < "c", ()) for name in "abcd"]
    scores = [
        video_scores_from_frames([replace(f, logit=f.logit * s) for f in frames], "mean-probability", faceless)
        for s in (1, -0.1)
    ]
    shown = {video.sample for outcome in Outcome for video in most_telling(scores[0], outcome, count=99)}
    assert shown == {str(i) for i in range(12)}
    assert not set(gallery_samples(scores, 0)) & set("abcd")


def test_stages_of_a_ladder_have_the_auc_of_the_report() -> None:
    rng = np.random.default_rng(0)
    faceless = [FacelessVideo("b/x", True, ()), FacelessVideo("b/y", False, ())]
    frames = tuple(FrameScore(f"{i}.png", f"a/{i}", i % 2 == 0, float(rng.normal(i % 2))) for i in range(20))
    stages = [StageScores("checkpoint", "torch", frames), StageScores("ONNX", "onnxruntime", frames[::-1])]
    scores = video_scores_from_frames(frames, "max", faceless)
    for step in ladder_from_scores(stages, "max", faceless):
        assert step.auc == pytest.approx(roc_auc_score(scores.is_fake, scores.scores))
        assert (step.flips, step.sqnr_db) == (0, None)


def test_where_the_model_file_calls_them_an_error_they_are_one(tmp_path: Path) -> None:
    run = scored_run(tmp_path, "error")
    with pytest.raises(DataError, match=r"no face was found in 3 videos of the test set .*id4_id9_0009\.mp4.*'half'"):
        require_faces(run.spec.contract, run.samples(), "test")
    require_faces(run.spec.contract, replace(run.samples(), faceless=()), "test")
    assert videos_at_half(run.spec.contract, FACELESS) == ()


def test_a_video_with_and_without_a_face_is_refused() -> None:
    frames = [FrameScore("0.png", "a/v", True, 1.0)]
    with pytest.raises(DataError, match="a/v is listed as a video without a face, but has frames"):
        video_scores_from_frames(frames, "mean-probability", [FacelessVideo("a/v", True, ())])


def test_the_set_is_another_one_without_them(tmp_path: Path) -> None:
    """Scores of the validation set name them, so that they must be made again."""
    run = scored_run(tmp_path, "half")
    digests = {replace(run.samples(), faceless=FACELESS[:count]).sha256 for count in range(4)}
    assert len(digests) == 4
    assert replace(run.samples(), faceless=FACELESS[::-1]).sha256 in digests
    stored = faceless_of_facts(facts_of_faceless(run.samples()))
    assert {(video.video, video.is_fake) for video in stored} == {(video.video, video.is_fake) for video in FACELESS}


def test_many_are_named_by_ten() -> None:
    names = tuple(f"f/{i:02d}" for i in range(14))
    facts = DatasetFacts("root", "0" * 64, 1, 1, 2, faceless_fakes=names[4:], faceless_reals=names[:4])
    assert faceless_names(facts) == ", ".join(names[:10]) + " and 4 more"
    assert faceless_text(facts) == "14 videos (10 fake, 4 real), which are left out"
    assert faceless_text(replace(facts, faceless_fakes=(), faceless_reals=())) == ""
