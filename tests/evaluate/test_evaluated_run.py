"""What the scores of a run say together, and which scores say nothing together."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, get_args

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from calibration.datasets.celeb_df import samples_from_celeb_df
from evaluate.aggregation import aggregated_score
from evaluate.data_facts import dataset_facts, validation_facts
from evaluate.report_warnings import report_warnings
from evaluate.scores import video_scores_from_frames
from evaluate.scoring.score_files import read_frame_scores, read_scores
from evaluate.scoring.validation import Validation
from export.errors import ArtifactError, DataError
from export.face_contract import Aggregation
from export.sidecar import Recipe, sidecar_path
from tests.evaluate.scored_run import BACKEND, VARIANTS, ScoredRun, digest_of, write_faces, write_file, write_scored_run

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from evaluate.scores import FrameScore

VIDEO = "Celeb-synthesis/id4_id5_0001.mp4"


@pytest.fixture
def run(tmp_path: Path) -> ScoredRun:
    return write_scored_run(tmp_path)


def test_all_variants_are_compared_on_the_videos_of_the_test_set(run: ScoredRun) -> None:
    found = run.evaluated()
    assert [entry.scored.variant.name for entry in found.variants] == list(VARIANTS)
    assert not any(entry.left_out for entry in found.variants)
    assert len(found.videos) == 30
    labels = [video.is_fake for video in found.videos]
    for entry in found.variants:
        statistics = found.statistics[entry.scored.variant.name]
        stored = read_scores(run.folder.scores(entry.scored.variant.name))
        assert [v.sample for v in stored.videos] == [video.sample for video in found.videos]
        assert list(statistics.scores) == stored.scores.tolist()
        assert statistics.auc.value == pytest.approx(roc_auc_score(labels, statistics.scores), abs=1e-12)
        assert (statistics.quality.samples, statistics.frame_quality.samples) == (30, 60)
    fake = next(video for video in found.videos if video.sample == "id4_id5_0001.mp4")
    assert (fake.cluster, fake.attributes) == ("id4", {"folder": "Celeb-synthesis", "identity": "id4"})
    assert [part.value for part in found.statistics["q8"].slices] == ["Celeb-real", "Celeb-synthesis"]


def test_two_who_are_swapped_with_each_other_are_one_cluster_but_two_persons(run: ScoredRun) -> None:
    (run.test / "Celeb-synthesis/id4_id5_0001").rename(run.test / "Celeb-synthesis/id5_id4_0001")
    for name in VARIANTS:
        run.score(name, run.frames(name))
    found = {video.sample: (video.cluster, video.attributes.get("identity")) for video in run.evaluated().videos}
    assert found["id5_id4_0001.mp4"] == ("id4", "id5")
    assert found["id4_id5_0000.mp4"] == found["id4_0000.mp4"] == ("id4", "id4")
    assert found["00004.mp4"] == ("YouTube-real/00004", None)


def test_thresholds_are_fitted_to_the_validation_set(run: ScoredRun) -> None:
    found = run.evaluated()
    facts = validation_facts(run.spec, found.validation)
    assert facts is not None
    assert (facts.root, facts.fake_videos, facts.real_videos) == (str(run.validation), 12, 18)
    assert facts.sha256 == samples_from_celeb_df(run.validation).sha256
    assert not facts.is_calibration_set
    frozen = {name: found.statistics[name].at("frozen") for name in VARIANTS}
    assert len({point.threshold for point in frozen.values() if point}) == 1
    assert found.statistics["baseline"].at("refitted").threshold == frozen["baseline"].threshold  # type: ignore[union-attr]
    for name in ("q16", "q8"):
        drift = found.statistics[name].drift
        assert drift is not None
        assert drift.threshold == frozen["baseline"].threshold  # type: ignore[union-attr]


def test_without_validation_scores_decisions_are_compared_at_a_half(run: ScoredRun) -> None:
    for name in VARIANTS:
        shutil.rmtree(run.folder.results(name))
        run.score(name, run.frames(name))
    found = run.evaluated()
    assert found.validation is None
    assert [point.origin for point in found.statistics["q8"].operating_points] == ["default"]
    assert found.statistics["q8"].drift.threshold == 0.5  # type: ignore[union-attr]
    assert "no threshold will be fitted: 3 of 3 engines have no scores of a validation set" in run.told[0]
    assert "no threshold was fitted, so decisions are compared at 0.5" in warnings_of(run)[0]


def warnings_of(run: ScoredRun, validation: Validation | None = None, allow_partial: bool = False) -> tuple[str, ...]:
    return report_warnings(run.session(validation), [], run.evaluated(validation, allow_partial).variants)


def lacking_an_image(frames: Sequence[FrameScore]) -> list[FrameScore]:
    return [frame for frame in frames if frame.path != VIDEO.replace(".mp4", "/001.png")]


def lacking_a_video(frames: Sequence[FrameScore]) -> list[FrameScore]:
    return [frame for frame in frames if frame.video != VIDEO]


@pytest.mark.parametrize("lacking", [lacking_an_image, lacking_a_video])
def test_videos_that_one_variant_lacks_are_refused_or_left_out_everywhere(
    lacking: Callable[[Sequence[FrameScore]], list[FrameScore]], run: ScoredRun
) -> None:
    run.score("q16", lacking(run.frames("q16")))
    with pytest.raises(
        DataError, match=r"q16 has no scores of 1 videos.*--allow-partial to compare .* other 29 videos"
    ):
        run.evaluated()
    found = run.evaluated(allow_partial=True)
    assert [entry.left_out for entry in found.variants] == [0, 1, 0]
    assert len(found.videos) == 29
    assert VIDEO.rpartition("/")[2] not in {video.sample for video in found.videos}
    labels = [video.is_fake for video in found.videos]
    for name in VARIANTS:
        statistics = found.statistics[name]
        score = {v.sample: v.score for v in read_scores(run.folder.scores(name)).videos}
        assert list(statistics.scores) == [score[video.sample] for video in found.videos]
        assert statistics.auc.value == pytest.approx(roc_auc_score(labels, statistics.scores), abs=1e-12)
        assert statistics.frame_quality.samples == 58
    facts = dataset_facts(run.session(), found.variants)
    assert (facts.fake_videos, facts.real_videos, facts.frames) == (11, 18, 58)
    assert any("q16: 1 videos lack scores" in warning for warning in warnings_of(run, allow_partial=True))


def test_heatmaps_of_a_part_are_not_those_of_the_whole(run: ScoredRun) -> None:
    whole = [entry.scored.scores_sha256 for entry in run.evaluated().variants]
    run.score("q16", lacking_a_video(run.frames("q16")))
    part = [entry.scored.scores_sha256 for entry in run.evaluated(allow_partial=True).variants]
    assert not set(whole) & set(part)


def test_nothing_in_common_is_refused_whatever_is_allowed(run: ScoredRun) -> None:
    frames = run.frames("q16")
    run.score("q16", [frame for frame in frames if frame.is_fake])
    run.score("q8", [frame for frame in frames if not frame.is_fake])
    with pytest.raises(DataError, match=r"q(8|16) has no scores of 1[28] videos") as caught:
        run.evaluated(allow_partial=True)
    assert "--allow-partial" not in str(caught.value)


def test_images_that_decode_nowhere_are_missed_by_no_variant(run: ScoredRun) -> None:
    path = VIDEO.replace(".mp4", "/001.png")
    for name in VARIANTS:
        run.score(name, lacking_an_image(run.frames(name)), unreadable=[path])
    found = run.evaluated()
    assert len(found.videos) == 30
    facts = dataset_facts(run.session(), found.variants)
    assert (facts.frames, facts.unreadable_frames, facts.lost_videos) == (59, 1, 0)
    assert warnings_of(run)[-1] == f"1 images did not decode and were left out, such as {path}"


def test_images_of_the_validation_set_that_do_not_decode_are_told(run: ScoredRun) -> None:
    for name in VARIANTS:
        frames = run.frames(name, "validation")
        run.score(name, frames[1:], "validation", unreadable=[frames[0].path])
    expected = f"1 images of the validation set did not decode and were left out, such as {frames[0].path}"
    assert warnings_of(run) == (expected,)


def test_images_that_decode_for_one_variant_only_are_missed(run: ScoredRun) -> None:
    run.score("q16", lacking_an_image(run.frames("q16")), unreadable=[VIDEO.replace(".mp4", "/001.png")])
    with pytest.raises(DataError, match="q16 has no scores of 1 videos"):
        run.evaluated()


def test_names_of_videos_are_those_of_the_videos_that_are_left(run: ScoredRun) -> None:
    """Two folders hold a video of one name; where one of the two is lost, the other needs its folder no longer."""
    twin = run.test / "YouTube-real/id4_0000"
    shutil.copytree(run.test / "Celeb-real/id4_0000", twin)
    for name in VARIANTS:
        run.score(name, run.frames(name))
    assert "YouTube-real/id4_0000.mp4" in {video.sample for video in run.evaluated().videos}
    run.score("q16", [frame for frame in run.frames("q16") if frame.video != "YouTube-real/id4_0000.mp4"])
    found = run.evaluated(allow_partial=True)
    assert {"id4_0000.mp4"} == {video.sample for video in found.videos if "id4_0000" in video.sample}
    assert {len(found.statistics[name].scores) for name in VARIANTS} == {30}


def edited(text: str, replaced: str, by: str) -> str:
    assert replaced in text
    return text.replace(replaced, by, 1)


@pytest.mark.parametrize("file", ["scores.csv", f"frames.{BACKEND}.csv", f"validation.{BACKEND}.csv"])
def test_edited_scores_are_refused(file: str, run: ScoredRun) -> None:
    run.evaluated()
    path = run.folder.results("q16") / file
    path.write_text(edited(path.read_text(encoding="utf-8"), "0,", "1,"), encoding="utf-8")
    with pytest.raises(ArtifactError, match=f"{file} was changed after it was made"):
        run.evaluated()


def test_scores_that_are_no_numbers_are_refused(run: ScoredRun) -> None:
    frames = list(run.frames("q16"))
    frames[7] = replace(frames[7], logit=float("nan"))
    run.score("q16", frames)
    with pytest.raises(DataError, match=r"frames\.onnxruntime\.csv:9: nan where a finite number is expected"):
        run.evaluated()
    run.score("q16", run.frames("q16"))
    run.score("q16", [replace(frames[0], logit=float("inf"))], "validation")
    with pytest.raises(DataError, match=r"validation\.onnxruntime\.csv:2: inf where a finite number is expected"):
        run.evaluated()


def test_scores_that_are_listed_twice_are_refused(run: ScoredRun) -> None:
    frames = run.frames("q8")
    run.score("q8", [*frames, frames[4]])
    with pytest.raises(DataError, match=r"001\.png is listed twice|000\.png is listed twice"):
        run.evaluated()


def test_scores_of_images_that_are_not_the_test_sets_are_refused(run: ScoredRun) -> None:
    frames = run.frames("q8")
    run.score("q8", [*frames[:-1], replace(frames[-1], path="YouTube-real/other/000.png")])
    with pytest.raises(ArtifactError, match=r"q8 has a score of YouTube-real/other/000\.png"):
        run.evaluated()
    run.score("q8", [replace(frames[0], is_fake=True), *frames[1:]])
    with pytest.raises(ArtifactError, match=r"labelled 1, which .* does not hold so"):
        run.evaluated()


def test_one_class_only_is_refused(run: ScoredRun) -> None:
    fakes = [frame.path for frame in run.frames("q8") if frame.is_fake]
    for name in VARIANTS:
        run.score(name, [frame for frame in run.frames(name) if not frame.is_fake], unreadable=fakes)
    with pytest.raises(DataError, match="the scores are of 0 fakes and 18 reals"):
        run.evaluated()


def test_one_class_of_the_validation_set_is_refused(run: ScoredRun) -> None:
    for name in VARIANTS:
        run.score(name, [frame for frame in run.frames(name, "validation") if frame.is_fake], "validation")
    with pytest.raises(DataError, match=r"0 real and 12 fake videos of the validation set .* needs both classes"):
        run.evaluated()


def test_another_test_set_for_one_variant_is_refused(run: ScoredRun, tmp_path: Path) -> None:
    other = replace(run, test=write_faces(tmp_path / "other", 500))
    other.score("q16", other.frames("q16"))
    with pytest.raises(ArtifactError, match="has the scores of another test set than"):
        run.evaluated()
    with pytest.raises(ArtifactError, match="has the scores of another test set than"):
        run.evaluated(allow_partial=True)


def test_a_baseline_that_calls_reals_fake_is_an_error(tmp_path: Path) -> None:
    run = write_scored_run(tmp_path, people=20)
    for name in VARIANTS:
        run.score(name, [replace(frame, logit=-frame.logit) for frame in run.frames(name)])
    with pytest.raises(DataError, match=r"baseline has an AUC of 0\.[0-2].*check the labels and the index of the fake"):
        run.evaluated()


def test_a_variant_that_calls_reals_fake_is_no_error_but_a_finding(run: ScoredRun) -> None:
    for role in ("test", "validation"):
        run.score("q8", [replace(frame, logit=-frame.logit) for frame in run.frames("q8", role)], role)
    statistics = run.evaluated().statistics["q8"]
    assert statistics.auc.value < 0.2
    assert statistics.difference is not None
    assert statistics.difference.value < -0.6


def test_a_variant_that_tells_nothing_has_no_threshold_of_its_own(run: ScoredRun) -> None:
    run.score("q8", [replace(frame, logit=0.5) for frame in run.frames("q8", "validation")], "validation")
    found = run.evaluated()
    assert [point.origin for point in found.statistics["q8"].operating_points] == ["default", "frozen"]
    assert [point.origin for point in found.statistics["q16"].operating_points] == ["default", "frozen", "refitted"]


def test_without_a_baseline_nothing_is_compared(tmp_path: Path) -> None:
    found = write_scored_run(tmp_path, ("q16", "q8")).evaluated()
    for statistics in found.statistics.values():
        assert (statistics.difference, statistics.drift, statistics.at("frozen")) == (None, None, None)
        assert statistics.at("refitted") is not None
        assert {part.auc_diff for part in statistics.slices} == {None}


def test_validation_scores_of_an_earlier_engine_are_none(run: ScoredRun) -> None:
    options = {"backend": {"onnxruntime": "1.2.3"}}
    recipe = Recipe("engine", {"onnx": digest_of(run.folder.onnx("q16"))}, options)
    write_file(run.folder.engine("q16", BACKEND, ".onnx"), "built again", recipe)
    run.score("q16", run.frames("q16"))
    assert run.evaluated().validation is None
    assert "1 of 3 engines have no scores of a validation set" in run.told[0]


def test_validation_scores_of_different_sets_are_none(run: ScoredRun, tmp_path: Path) -> None:
    other = replace(run, validation=write_faces(tmp_path / "other", 2000))
    other.score("q16", other.frames("q16", "validation"), "validation")
    assert run.evaluated().validation is None
    assert "the engines were scored on different validation sets" in run.told[0]


def test_a_validation_set_that_was_asked_for_must_have_been_scored(run: ScoredRun, tmp_path: Path) -> None:
    asked = Validation(samples_from_celeb_df(run.validation))
    assert run.evaluated(asked).validation is not None
    other = Validation(samples_from_celeb_df(write_faces(tmp_path / "other", 2000)))
    with pytest.raises(
        ArtifactError, match=r"of another validation set than .*other: run 'evaluate-engines .*--scores"
    ):
        run.evaluated(other)
    sidecar_path(run.folder.validation("q8", BACKEND)).unlink()
    with pytest.raises(ArtifactError, match="1 of 3 engines have no scores of a validation set: run"):
        run.evaluated(asked)


def test_stored_validation_scores_of_people_of_the_test_set_are_refused(tmp_path: Path) -> None:
    run = write_scored_run(tmp_path)
    shutil.rmtree(run.validation)
    write_faces(run.validation, 1)
    for name in VARIANTS:
        run.score(name, run.frames(name, "validation"), "validation")
    with pytest.raises(DataError, match=r"validation and test set share .* identities, such as id1; validate on other"):
        run.evaluated()


def test_validation_scores_of_different_images_are_refused(run: ScoredRun) -> None:
    run.score("q8", run.frames("q8", "validation")[:-1], "validation")
    with pytest.raises(ArtifactError, match="hold scores of different images; delete both"):
        run.evaluated()


def test_frames_are_in_the_same_order_for_all(run: ScoredRun) -> None:
    run.score("q16", run.frames("q16")[::-1])
    paths = {tuple(frame.path for frame in entry.frame_scores) for entry in run.evaluated().variants}
    assert len(paths) == 1
    stored = read_frame_scores(run.folder.frames("q8", BACKEND))
    assert np.array_equal(sorted(f.path for f in stored), sorted(next(iter(paths))))


def test_videos_are_sliced_by_every_column_that_they_have(run: ScoredRun) -> None:
    videos = sorted({sample.video for sample in run.samples().samples})
    columns = {v: (("method", "none" if "real" in v else "swap"), ("take", v[-5])) for v in videos}
    columns[VIDEO] = (*columns[VIDEO], ("folder", "of its own"))
    described = replace(run, attributes=columns)
    for name in VARIANTS:
        described.score(name, described.frames(name))
    found = described.evaluated()
    row = {video.sample: video.attributes for video in found.videos}
    assert row["id2_0001.mp4"] == {"folder": "Celeb-real", "identity": "id2", "method": "none", "take": "1"}
    assert row["00002.mp4"] == {"folder": "YouTube-real", "method": "none", "take": "2"}
    assert row["id4_id5_0001.mp4"]["folder"] == "of its own"
    parts = {(part.attribute, part.value): part for part in found.statistics["q8"].slices}
    assert {("folder", "Celeb-real"), ("method", "none"), ("method", "swap"), ("take", "0")} <= parts.keys()
    labels = np.array([video.is_fake for video in found.videos])
    scores = np.array(found.statistics["q8"].scores)
    taken = np.array([video.attributes["take"] == "0" for video in found.videos])
    assert parts["take", "0"].auc == pytest.approx(roc_auc_score(labels[taken], scores[taken]), abs=1e-12)


@pytest.mark.parametrize("aggregation", get_args(Aggregation))
def test_another_aggregation_needs_no_other_scores_of_frames(aggregation: Aggregation, run: ScoredRun) -> None:
    run.evaluated()
    before = run.folder.frames("q8", BACKEND).stat().st_mtime_ns
    asked = replace(run, aggregation=aggregation)
    found = asked.evaluated()
    assert found.aggregation == aggregation
    assert run.folder.frames("q8", BACKEND).stat().st_mtime_ns == before
    for name in VARIANTS:
        frames = read_frame_scores(run.folder.frames(name, BACKEND))
        expected = {
            video.rpartition("/")[2]: aggregated_score([f.logit for f in frames if f.video == video], aggregation)
            for video in {frame.video for frame in frames}
        }
        assert {video.sample: video.score for video in read_scores(run.folder.scores(name)).videos} == expected
        assert list(found.statistics[name].scores) == [expected[video.sample] for video in found.videos]
        assert found.validation is not None
        validation = read_frame_scores(run.folder.validation(name, BACKEND))
        fitted_to = video_scores_from_frames(validation, aggregation)
        assert found.validation.of_variant[name] == fitted_to


def test_a_score_of_another_face_of_the_frame_is_not_the_test_sets(run: ScoredRun) -> None:
    frames = run.frames("q8")
    run.score("q8", [replace(frames[0], frame="17"), *frames[1:]])
    with pytest.raises(ArtifactError, match=r"q8 has a score of .*delete its scores and score it again"):
        run.evaluated()
