from __future__ import annotations

import heapq

import numpy as np
import pytest

from evaluate.metrics import confusion_at
from evaluate.scores import ScoreSet, VideoScore
from evaluate.selection import Outcome, most_telling


def drawn_scores(seed: int, count: int) -> ScoreSet:
    rng = np.random.default_rng(seed)
    scores = np.round(rng.random(count), 1)
    names = rng.permutation(count)
    return ScoreSet(
        tuple(
            VideoScore(f"{n:03}.mp4", bool(rng.integers(2)), float(s), f"{n}.jpg")
            for n, s in zip(names, scores, strict=True)
        )
    )


def is_member(video: VideoScore, outcome: Outcome) -> bool:
    kind = {
        (True, True): "true_positives",
        (True, False): "false_negatives",
        (False, True): "false_positives",
        (False, False): "true_negatives",
    }[video.is_fake, video.score >= 0.5]
    return kind == outcome.value


@pytest.mark.parametrize("outcome", Outcome)
@pytest.mark.parametrize("count", [6, 40, 200])
def test_selection_equals_taking_the_best_remaining_one_after_another(outcome: Outcome, count: int) -> None:
    scores = drawn_scores(count, count)
    remaining = [video for video in scores.videos if is_member(video, outcome)]
    wanted: list[VideoScore] = []
    while remaining and len(wanted) < 5:
        extreme = (max if outcome.value.endswith("positives") else min)(video.score for video in remaining)
        best = heapq.nsmallest(1, (v for v in remaining if v.score == extreme), key=lambda v: v.sample)[0]
        remaining.remove(best)
        wanted.append(best)
    assert most_telling(scores, outcome) == tuple(wanted)


def test_the_outcomes_divide_the_samples_as_the_confusion_does() -> None:
    scores = drawn_scores(1, 100)
    counts = confusion_at(0.3, scores.is_fake, scores.scores)
    sizes = [len(most_telling(scores, outcome, threshold=0.3, count=100)) for outcome in Outcome]
    assert sizes == [counts.tp, counts.fn, counts.fp, counts.tn]
