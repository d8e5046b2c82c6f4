"""Whose scores thresholds are fitted to is known from the scores alone, whatever videos are called."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from calibration.samples import Sample, SampleSet
from evaluate.scores import FrameScore
from evaluate.scoring.frame_files import FRAMES_KIND
from evaluate.scoring.score_files import write_frame_scores
from evaluate.validation_scores import validation_scores
from export.errors import DataError
from export.sidecar import Artifact, Recipe, make_artifact
from tests.detectors import contract_for_tests

if TYPE_CHECKING:
    from evaluate.scoring.session import Session

TEST = SampleSet(Path("data"), (Sample(Path("data/a.png"), True, "clips/a", ("anna",)),))
SESSION = cast(
    "Session",
    SimpleNamespace(spec=SimpleNamespace(contract=contract_for_tests()), samples=TEST, aggregation="mean-probability"),
)


def scored(folder: Path, facts: dict[str, object], *videos: str) -> Artifact:
    def write(path: Path) -> dict[str, object]:
        write_frame_scores(path, [FrameScore(f"{v}.png", v, i % 2 == 1, 0.5 * i) for i, v in enumerate(videos)])
        return {"root": "elsewhere", **facts}

    return make_artifact(folder / "validation.csv", Recipe(FRAMES_KIND, {"validation": "0" * 64}), write)


def test_people_are_those_that_were_written_down(tmp_path: Path) -> None:
    fine = scored(tmp_path, {"identities": ["berta", "carla"]}, "clips/b", "clips/c")
    assert validation_scores(SESSION, {"baseline": fine}).first.videos
    shared = scored(tmp_path, {"identities": ["anna", "berta"]}, "clips/b", "clips/c")
    with pytest.raises(DataError, match="validation and test set share 1 identities, such as anna"):
        validation_scores(SESSION, {"baseline": shared})
