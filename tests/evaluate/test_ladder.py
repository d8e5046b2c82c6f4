from __future__ import annotations

import secrets

import numpy as np
import pytest
from scipy.special import expit
from sklearn.metrics import roc_auc_score

from evaluate.ladder import LadderStep, StageScores, logit_sqnr_db
from evaluate.ladder import ladder_from_scores as ladder_by
from evaluate.scores import FrameScore
from export.errors import DataError

# Drawn anew in every run; a failure shows it, and the name is the same for all processes that share the tests.
FRESH = pytest.param(secrets.randbelow(1 << 32), id="fresh")
STAGES = ("checkpoint", "pruned", "ONNX", "graph", "engine")
VIDEOS, FRAMES = 40, 3
IS_FAKE = np.arange(VIDEOS) % 2 == 0


def stage(name: str, logits: np.ndarray, order: np.ndarray | None = None) -> StageScores:
    """Logits (VIDEOS, FRAMES) as a stage."""
    frames = [
        FrameScore(f"v{video:02d}/{frame}.jpg", f"folder/v{video:02d}.mp4", bool(IS_FAKE[video]), float(logit))
        for video in range(VIDEOS)
        for frame, logit in enumerate(logits[video])
    ]
    frames = frames if order is None else [frames[i] for i in order]
    return StageScores(name, f"runner of {name}", tuple(frames))  # type: ignore[arg-type]


def ladder_from_scores(stages: list[StageScores], threshold: float = 0.5) -> tuple[LadderStep, ...]:
    return ladder_by(stages, "mean-probability", threshold=threshold)


def drawn_logits(seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    first = rng.normal(size=(VIDEOS, FRAMES)) + 0.8 * IS_FAKE[:, None]
    return [first, *(first + scale * rng.normal(size=first.shape) for scale in (0.4, 0.01, 0.8, 0.2))]


@pytest.mark.parametrize("threshold", [0.5, 0.62])
@pytest.mark.parametrize("seed", [1, FRESH])
def test_figures_are_those_of_scikit_learn(seed: int, threshold: float) -> None:
    logits = drawn_logits(seed)
    order = np.random.default_rng(seed).permutation(VIDEOS * FRAMES)
    steps = ladder_from_scores(
        [stage(name, each, order if name == "ONNX" else None) for name, each in zip(STAGES, logits, strict=True)],
        threshold,
    )
    assert [step.stage for step in steps] == list(STAGES)
    assert steps[2].runner == "runner of ONNX"
    scores = [expit(each).mean(axis=1) for each in logits]
    aucs = [roc_auc_score(IS_FAKE, each) for each in scores]
    for index, step in enumerate(steps):
        before = max(index - 1, 0)
        assert step.auc == pytest.approx(aucs[index], abs=1e-12)
        assert step.auc_cost == pytest.approx(aucs[before] - aucs[index], abs=1e-12)
        assert step.flips == int(np.sum((scores[index] >= threshold) != (scores[before] >= threshold)))
    assert sum(step.auc_cost for step in steps) == pytest.approx(aucs[0] - aucs[-1])


@pytest.mark.parametrize("seed", [2, FRESH])
def test_sqnr_is_that_of_the_variance_within_the_classes(seed: int) -> None:
    reference, logits = drawn_logits(seed)[:2]
    frame_is_fake = np.repeat(IS_FAKE, FRAMES)
    signal = np.mean([np.var(reference[IS_FAKE]), np.var(reference[~IS_FAKE])])  # the classes are equally large
    expected = 10 * np.log10(signal / np.mean((reference - logits) ** 2))
    found = logit_sqnr_db(frame_is_fake, reference.ravel(), logits.ravel())
    assert found == pytest.approx(expected)
    order = np.random.default_rng(seed).permutation(VIDEOS * FRAMES)
    steps = ladder_from_scores([stage("checkpoint", reference), stage("ONNX", logits, order)])
    assert [steps[0].sqnr_db, steps[1].sqnr_db] == [None, pytest.approx(expected)]


def test_stages_that_agree_cost_nothing() -> None:
    logits = drawn_logits(3)[0]
    steps = ladder_from_scores([stage(name, logits) for name in STAGES])
    assert {(step.auc_cost, step.flips, step.sqnr_db) for step in steps} == {(0.0, 0, None)}


@pytest.mark.parametrize("broken", range(1, 5))
def test_a_broken_stage_is_the_one_that_costs(broken: int) -> None:
    rng, good = np.random.default_rng(4), drawn_logits(4)[0] + 2 * IS_FAKE[:, None]
    bad = rng.normal(size=good.shape)
    steps = ladder_from_scores([stage(name, bad if i >= broken else good) for i, name in enumerate(STAGES)])
    costs = [step.auc_cost for step in steps]
    assert int(np.argmax(costs)) == broken
    assert costs[broken] > 0.2
    assert sum(cost != 0 for cost in costs) == 1
    assert [step.flips > 0 for step in steps] == [index == broken for index in range(5)]


def test_stages_of_other_frames_are_refused() -> None:
    logits = drawn_logits(5)[0]
    short = stage("ONNX", logits)
    with pytest.raises(DataError, match="stage ONNX has 119 frames and stage checkpoint 120, and 1 are not of both"):
        ladder_from_scores([stage("checkpoint", logits), StageScores("ONNX", "", short.frames[:-1])])
    twice = StageScores("ONNX", "", (*short.frames, short.frames[0]))
    with pytest.raises(DataError, match="has 121 frames"):
        ladder_from_scores([stage("checkpoint", logits), twice])
    with pytest.raises(DataError, match="no stage"):
        ladder_from_scores([])
