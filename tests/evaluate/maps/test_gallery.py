from __future__ import annotations

import secrets

import numpy as np
import pytest

from evaluate.maps.gallery import gallery_frames, gallery_samples
from evaluate.scores import ScoreSet, VideoScore
from evaluate.selection import Outcome, most_telling
from export.errors import ArtifactError

# Drawn anew in every run; a failure shows it, and the name is the same for all processes that share the tests.
FRESH = pytest.param(secrets.randbelow(1 << 32), id="fresh")


def score_set(scores: np.ndarray) -> ScoreSet:
    return ScoreSet(
        tuple(VideoScore(f"v{i:03d}.mp4", i % 3 == 0, float(s), f"v{i:03d}/0.jpg") for i, s in enumerate(scores))
    )


def drawn_scores(seed: int, videos: int, variants: int = 3) -> list[ScoreSet]:
    rng = np.random.default_rng(seed)
    first = rng.uniform(size=videos)
    others = [np.clip(first + rng.normal(0, 0.15, videos), 0, 1) for _ in range(variants - 1)]
    return [score_set(each) for each in (first, *others)]


def groups_of(scores: list[ScoreSet]) -> tuple[set[str], set[str], list[str]]:
    """Returns the most telling, the flipped, and all videos by how far any variant moved them."""
    telling = {video.sample for each in scores for outcome in Outcome for video in most_telling(each, outcome)}
    matrix = np.array([each.scores for each in scores])
    flipped = np.any((matrix >= 0.5) != (matrix[0] >= 0.5), axis=0)
    furthest = np.argsort(-np.abs(matrix - matrix[0]).max(axis=0))
    names = [video.sample for video in scores[0].videos]
    return telling, {names[i] for i in np.flatnonzero(flipped)}, [names[i] for i in furthest]


@pytest.mark.parametrize("seed", [1, FRESH])
def test_with_room_for_all_every_telling_and_flipped_video_is_shown(seed: int) -> None:
    scores = drawn_scores(seed, 400)
    telling, flipped, furthest = groups_of(scores)
    chosen = gallery_samples(scores, 0, most=350)
    assert list(chosen) == sorted(set(chosen))
    assert set(chosen) >= telling | flipped
    assert set(chosen) >= set(furthest[:50])


@pytest.mark.parametrize("seed", [2, FRESH])
def test_without_room_the_groups_take_turns(seed: int) -> None:
    scores = drawn_scores(seed, 400)
    telling, flipped, furthest = groups_of(scores)
    chosen = set(gallery_samples(scores, 0))
    assert len(chosen) == 60
    assert len(chosen & telling) >= 20
    assert len(chosen & flipped) >= min(20, len(flipped))
    assert chosen >= set(furthest[:15])
    for each in scores:  # the first rank of every outcome of every variant comes before the second of any
        for outcome in Outcome:
            assert most_telling(each, outcome)[0].sample in chosen


def test_the_baseline_need_not_come_first_and_may_be_missing() -> None:
    scores = drawn_scores(3, 100)
    assert gallery_samples([scores[1], scores[0], scores[2]], 1, most=100) == gallery_samples(scores, 0, most=100)
    telling, _, _ = groups_of(scores)
    assert set(gallery_samples(scores, None)) == telling


def test_identical_scores_leave_the_telling_ones() -> None:
    scores = drawn_scores(4, 100, variants=1) * 3
    assert set(gallery_samples(scores, 0)) == groups_of(scores)[0]


def test_small_sets_are_shown_whole() -> None:
    scores = drawn_scores(5, 12)
    assert gallery_samples(scores, 0) == tuple(f"v{i:03d}.mp4" for i in range(12))


def test_frames_are_those_of_the_first_variant() -> None:
    scores = drawn_scores(6, 5)[0]
    assert gallery_frames(scores, ["v003.mp4", "v001.mp4", "v001.mp4"]) == {
        "v001.mp4": "v001/0.jpg",
        "v003.mp4": "v003/0.jpg",
    }
    with pytest.raises(ArtifactError, match=r"no v009\.mp4"):
        gallery_frames(scores, ["v001.mp4", "v009.mp4"])
