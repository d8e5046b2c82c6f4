"""Clusters, the strata that they are drawn from, and how many independent pairs they hold."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from evaluate.statistics.clusters import Clusters, cluster_of, clusters_of
from export.errors import DataError
from tests.evaluate.statistics.drawn_scores import SEEDS


def of_kinds(both: int, fakes: int, reals: int) -> Clusters:
    """So many clusters with a fake and a real, with a fake alone and with a real alone."""
    is_fake = [True, False] * both + [True] * fakes + [False] * reals
    names = [f"both{index // 2}" for index in range(2 * both)] + [f"one{index}" for index in range(fakes + reals)]
    return clusters_of(np.array(is_fake), names)


def most_pairs(clusters: Clusters) -> int:
    """By trying all ways to give each cluster a part: of a fake, of a real, or none."""
    parts = [
        (None, *("fake",) * int(fake), *("real",) * int(real))
        for fake, real in zip(clusters.with_fakes, clusters.with_reals, strict=True)
    ]
    return max(min(chosen.count("fake"), chosen.count("real")) for chosen in itertools.product(*parts))


def test_the_target_of_a_swap_names_its_cluster() -> None:
    assert cluster_of("Celeb-synthesis/id37_id3_0004.mp4", ("id37", "id3")) == "id37"
    assert cluster_of("YouTube-real/00170.mp4", ()) == "YouTube-real/00170.mp4"


@pytest.mark.parametrize("seed", SEEDS)
def test_a_cluster_holds_what_its_videos_are(seed: int) -> None:
    rng = np.random.default_rng(seed)
    is_fake, persons = rng.random(60) < 0.5, rng.integers(0, 20, 60)
    clusters = clusters_of(is_fake, [f"id{person}" for person in persons])
    assert clusters.count == len(set(persons))
    for video in range(60):
        own = clusters.of_video == clusters.of_video[video]
        assert own.tolist() == (persons == persons[video]).tolist()
        assert clusters.with_fakes[clusters.of_video[video]] == is_fake[persons == persons[video]].any()
        assert clusters.with_reals[clusters.of_video[video]] == (~is_fake[persons == persons[video]]).any()


@pytest.mark.parametrize("kinds", list(itertools.product(range(4), repeat=3)))
def test_independent_pairs_are_as_many_as_can_be_formed(kinds: tuple[int, int, int]) -> None:
    both, fakes, reals = kinds
    if both + fakes and both + reals:
        clusters = of_kinds(*kinds)
        assert clusters.independent_pairs == max(1, most_pairs(clusters))
        assert clusters.smaller_class == both + min(fakes, reals)


@pytest.mark.parametrize("kinds", list(itertools.product(range(4), repeat=3)))
def test_strata_share_out_all_clusters_and_none_stands_alone(kinds: tuple[int, int, int]) -> None:
    if sum(kinds) < 2 or not kinds[0] + kinds[1] or not kinds[0] + kinds[2]:
        return
    clusters = of_kinds(*kinds)
    strata = clusters.strata()
    assert sorted(np.concatenate(strata).tolist()) == list(range(clusters.count))
    assert all(stratum.size > 1 for stratum in strata)
    if 1 not in kinds:
        assert sorted(stratum.size for stratum in strata) == sorted(size for size in kinds if size)
        for stratum in strata:
            assert len(set(zip(clusters.with_fakes[stratum], clusters.with_reals[stratum], strict=True))) == 1


def test_every_video_needs_a_cluster() -> None:
    with pytest.raises(DataError, match="2 clusters for 3 videos"):
        clusters_of(np.array([True, False, True]), ["a", "b"])


def test_takes_of_one_target_are_one_cluster_whatever_the_data_set_calls_people() -> None:
    """In FaceForensics++, `000_003` swaps the face of 003 into 000; each real video has four fakes or more of it."""
    names = ["Deepfakes/000_003", "Face2Face/000_003", "youtube/000", "Deepfakes/003_000", "youtube/003"]
    persons = [("000", "003"), ("000", "003"), ("000",), ("003", "000"), ("003",)]
    own = [cluster_of(name, people) for name, people in zip(names, persons, strict=True)]
    clusters = clusters_of(np.array([True, True, False, True, False]), own)
    assert clusters.of_video.tolist() == [0, 0, 0, 1, 1]
    assert clusters.independent_pairs == 1
