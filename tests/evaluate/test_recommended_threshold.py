"""The threshold that an engine's sidecar recommends."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from evaluate.recommended_threshold import RECOMMENDED_THRESHOLD, recommend_thresholds
from export.errors import ArtifactError
from export.sidecar import read_artifact, read_json, reusable_artifact, sha256_of_json, sidecar_path, write_json
from tests.evaluate.scored_run import BACKEND, VARIANTS, ScoredRun, write_file, write_scored_run

if TYPE_CHECKING:
    from pathlib import Path

    from export.sidecar import Artifact


@pytest.fixture
def run(tmp_path: Path) -> ScoredRun:
    return write_scored_run(tmp_path)


def engine_of(run: ScoredRun, variant: str) -> Artifact:
    return read_artifact(run.folder.engine(variant, BACKEND, ".onnx"))


def sidecars(run: ScoredRun) -> dict[str, tuple[bytes, int]]:
    paths = sorted((run.root / "engines").glob("*.json"))
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in paths}


def test_every_engine_recommends_its_own_threshold(run: ScoredRun) -> None:
    evaluated = run.evaluated()
    recommend_thresholds(evaluated)
    for name in VARIANTS:
        assert engine_of(run, name).facts[RECOMMENDED_THRESHOLD] == {
            "value": evaluated.statistics[name].at("refitted").threshold,  # type: ignore[union-attr]
            "origin": "refitted",
            "aggregation": "mean-probability",
            "validation_sha256": evaluated.validation.sha256,  # type: ignore[union-attr]
        }
    assert len({engine_of(run, name).facts[RECOMMENDED_THRESHOLD]["value"] for name in VARIANTS}) == 3


def test_what_rests_on_an_engine_stays_valid(run: ScoredRun) -> None:
    before = engine_of(run, "q8")
    first = run.evaluated()
    recommend_thresholds(first)
    after = engine_of(run, "q8")
    assert (after.sha256, after.recipe, after.key) == (before.sha256, before.recipe, before.key)
    assert reusable_artifact(before.path, before.recipe) == after
    run.told.clear()
    assert run.evaluated().statistics == first.statistics
    assert run.told == []


def test_recommending_again_writes_nothing(run: ScoredRun) -> None:
    recommend_thresholds(run.evaluated())
    before = sidecars(run)
    recommend_thresholds(run.evaluated())
    assert sidecars(run) == before


def test_other_validation_scores_replace_the_recommendation(run: ScoredRun) -> None:
    recommend_thresholds(run.evaluated())
    before = engine_of(run, "q8").facts[RECOMMENDED_THRESHOLD]["value"]
    frames = run.frames("q8", "validation")
    run.score("q8", [replace(frame, logit=frame.logit + 3.0) for frame in frames], "validation")
    recommend_thresholds(run.evaluated())
    assert engine_of(run, "q8").facts[RECOMMENDED_THRESHOLD]["value"] > before


def test_without_a_validation_set_the_recommendation_stays(run: ScoredRun) -> None:
    recommend_thresholds(run.evaluated())
    before = sidecars(run)
    for name in VARIANTS:
        shutil.rmtree(run.folder.results(name))
        run.score(name, run.frames(name))
    recommend_thresholds(run.evaluated())
    assert sidecars(run) == before


def test_an_engine_that_tells_nothing_gets_no_recommendation(run: ScoredRun) -> None:
    run.score("q8", [replace(frame, logit=0.5) for frame in run.frames("q8", "validation")], "validation")
    recommend_thresholds(run.evaluated())
    assert RECOMMENDED_THRESHOLD not in engine_of(run, "q8").facts
    assert RECOMMENDED_THRESHOLD in engine_of(run, "q16").facts


def test_an_engine_that_is_built_again_has_none_any_more(run: ScoredRun) -> None:
    recommend_thresholds(run.evaluated())
    engine = engine_of(run, "q8")
    write_file(engine.path, "engine of q8", engine.recipe)
    assert RECOMMENDED_THRESHOLD not in engine_of(run, "q8").facts


def test_an_engine_that_was_exchanged_meanwhile_is_left_alone(run: ScoredRun) -> None:
    evaluated = run.evaluated()
    engine = engine_of(run, "q8")
    write_file(engine.path, "another engine", engine.recipe)
    with pytest.raises(ArtifactError, match=r"q8\.onnxruntime\.onnx\.json changed while the command ran"):
        recommend_thresholds(evaluated)
    assert RECOMMENDED_THRESHOLD not in engine_of(run, "q8").facts


@pytest.mark.parametrize("wrong", [0.5, {"value": "high", "origin": "refitted", "validation_sha256": "0" * 64}])
def test_a_recommendation_of_another_type_is_refused(wrong: object, run: ScoredRun) -> None:
    path = sidecar_path(run.folder.engine("q8", BACKEND, ".onnx"))
    facts = {RECOMMENDED_THRESHOLD: wrong}
    write_json(path, {**read_json(path), "facts": facts, "facts_sha256": sha256_of_json(facts)})
    with pytest.raises(ArtifactError, match="expected"):
        engine_of(run, "q8")
