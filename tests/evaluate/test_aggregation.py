"""One score of a video's frames, against a second implementation on arrays and what must hold whatever is drawn."""

from __future__ import annotations

import secrets
from typing import get_args

import numpy as np
import pytest
from scipy.special import expit, logit

from evaluate.aggregation import aggregated_score
from evaluate.scores import FrameScore, strongest_faces, video_scores_from_frames
from export.face_contract import Aggregation

# Drawn anew in every run; a failure shows it, and the name is the same for all processes that share the tests.
FRESH = pytest.param(secrets.randbelow(1 << 32), id="fresh")
AGGREGATIONS: tuple[Aggregation, ...] = get_args(Aggregation)


def by_definition(scores: np.ndarray, aggregation: Aggregation) -> float:
    """The definitions on one array of probabilities; `confident` is selimsef's, with his whole-number division."""
    if aggregation == "max":
        return float(np.sort(scores)[-1])
    if aggregation == "mean-logit":
        return float(expit(np.average(logit(scores))))
    if aggregation == "confident":
        fakes = np.count_nonzero(scores > 0.8)
        if fakes > scores.size // 2.5 and fakes > 11:
            return float(np.mean(scores[scores > 0.8]))
        if np.count_nonzero(scores < 0.2) > 0.9 * scores.size:
            return float(np.mean(scores[scores < 0.2]))
    return float(np.mean(scores))


def drawn_logits(rng: np.random.Generator) -> np.ndarray:
    """Logits of a video of 1 to 60 frames: torn, confidently fake, or confidently real with a few others."""
    size = int(rng.integers(1, 61))
    logits = rng.normal(rng.choice([-3.0, 0.0, 2.0]), rng.choice([0.5, 1.5, 4.0]), size)
    others = rng.random(size) < rng.choice([0.0, 0.05, 0.5])
    logits[others] = rng.normal(0, 3, others.sum())
    return logits.astype(np.float32).astype(np.float64)


@pytest.mark.parametrize("seed", [0, FRESH])
@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_the_score_is_that_of_the_definition_in_any_order(aggregation: Aggregation, seed: int) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(300):
        logits = drawn_logits(rng)
        score = aggregated_score(logits.tolist(), aggregation)
        assert score == pytest.approx(by_definition(expit(logits), aggregation), abs=1e-9)
        assert score == aggregated_score(rng.permutation(logits).tolist(), aggregation)
        assert expit(logits).min() - 1e-12 <= score <= expit(logits).max() + 1e-12


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_of_frames_that_agree_the_score_is_theirs(aggregation: Aggregation) -> None:
    for value in (-300.0, -40.0, -2.5, 0.0, 0.7, 40.0, 300.0):
        for frames in (1, 2, 32):
            assert aggregated_score([value] * frames, aggregation) == pytest.approx(expit(value), rel=1e-12)


def test_closed_forms() -> None:
    third = [float(logit(p)) for p in (0.1, 0.3, 0.8)]
    assert aggregated_score(third, "mean-probability") == pytest.approx(0.4)
    assert aggregated_score(third, "max") == pytest.approx(0.8)
    odds = (0.1 / 0.9 * 0.3 / 0.7 * 0.8 / 0.2) ** (1 / 3)  # the mean logit is the log of the geometric mean of odds
    assert aggregated_score(third, "mean-logit") == pytest.approx(odds / (1 + odds))
    assert aggregated_score([2.0, -2.0], "mean-logit") == 0.5


@pytest.mark.parametrize(
    ("fakes", "others", "expected"),
    [
        (13, 19, 0.9),  # 13 of 32 are more than 11 and more than 40 %
        (12, 20, (12 * 0.9 + 20 * 0.3) / 32),  # 12 of 32 are not
        (12, 0, 0.9),
        (11, 0, 0.9),  # too few for the rule, but all alike
        (11, 1, (11 * 0.9 + 0.3) / 12),
    ],
)
def test_enough_confident_fakes_decide(fakes: int, others: int, expected: float) -> None:
    logits = [float(logit(0.9))] * fakes + [float(logit(0.3))] * others
    assert aggregated_score(logits, "confident") == pytest.approx(expected)


@pytest.mark.parametrize(("reals", "others", "expected"), [(19, 1, 0.1), (18, 2, 0.9 * 0.1 + 0.1 * 0.6)])
def test_almost_only_confident_reals_decide(reals: int, others: int, expected: float) -> None:
    logits = [float(logit(0.1))] * reals + [float(logit(0.6))] * others
    assert aggregated_score(logits, "confident") == pytest.approx(expected)


@pytest.mark.parametrize("seed", [1, FRESH])
@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_the_largest_of_a_frames_faces_is_the_frames(aggregation: Aggregation, seed: int) -> None:
    rng = np.random.default_rng(seed)
    faces, expected = [], {}
    for video in range(20):
        drawn = [drawn_logits(rng)[:3] for _ in range(int(rng.integers(1, 40)))]
        for index, logits in enumerate(drawn):
            frame = f"{index}" if len(logits) > 1 else ""
            faces += [
                FrameScore(f"{video}/{index}-{face}.png", f"f/{video:02d}", video % 2 == 0, float(value), frame)
                for face, value in enumerate(logits)
            ]
        expected[f"{video:02d}"] = by_definition(expit(np.array([logits.max() for logits in drawn])), aggregation)
    shuffled = [faces[index] for index in rng.permutation(len(faces))]
    scores = video_scores_from_frames(shuffled, aggregation)
    assert {video.sample: video.score for video in scores.videos} == pytest.approx(expected, abs=1e-9)
    assert scores == video_scores_from_frames(faces, aggregation)
    assert strongest_faces(shuffled) == strongest_faces(faces)
    # The picture is that of a frame's strongest face, and of the frame nearest to the video.
    strongest = {face.path: face for face in strongest_faces(faces)}
    for video in scores.videos:
        own = [float(expit(face.logit)) for face in strongest.values() if face.video == f"f/{video.sample}"]
        nearest = min(abs(score - video.score) for score in own)
        assert abs(float(expit(strongest[video.path].logit)) - video.score) == pytest.approx(nearest, abs=1e-12)
        if aggregation == "max":
            assert float(expit(strongest[video.path].logit)) == pytest.approx(max(own), abs=1e-12)
