"""Clusters, the strata that they are drawn from, and how many independent pairs they hold."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.sparse.csgraph import connected_components

from evaluate.statistics.clusters import Clusters, cluster_names, cluster_numbers, clusters_of
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
    """Of persons who are swapped with several."""
    videos = {
        "Celeb-synthesis/id37_id3_0004.mp4": ("id37", "id3"),
        "Celeb-synthesis/id37_id5_0004.mp4": ("id37", "id5"),
        "Celeb-synthesis/id3_id37_0004.mp4": ("id3", "id37"),
        "Celeb-real/id3_0001.mp4": ("id3",),
        "YouTube-real/00170.mp4": (),
    }
    expected = ("id37", "id37", "id3", "id3", "YouTube-real/00170.mp4")
    assert cluster_names(list(videos), list(videos.values())) == expected


def test_all_of_faceforensics_is_as_many_clusters_as_pairs() -> None:
    """Mutual swaps of 70 pairs by five methods, beside their originals."""
    numbers = np.random.default_rng(1).permutation(1000)[:140].reshape(70, 2).tolist()
    originals = [(f"youtube/{n:03}", (f"{n:03}",)) for pair in numbers for n in pair]
    fakes = [
        (f"{method}/{target:03}_{source:03}", (f"{target:03}", f"{source:03}"))
        for pair in numbers
        for method in ("Deepfakes", "Face2Face", "FaceShifter", "FaceSwap", "NeuralTextures")
        for target, source in (pair, pair[::-1])
    ]
    names, people = zip(*originals, *fakes, strict=True)
    clusters = cluster_names(names, people)
    assert np.bincount(cluster_numbers(clusters)).tolist() == [12] * 70
    of_person = {person: cluster for shown, cluster in zip(people, clusters, strict=True) for person in shown}
    assert all(of_person[p] == c for shown, c in zip(people, clusters, strict=True) for p in shown)


@pytest.mark.parametrize("seed", SEEDS)
def test_components_of_two_persons_are_one_cluster_and_others_go_by_the_target(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for persons in (2, 3, 12, 40):
        shown = [
            tuple(
                f"id{person}"
                for person in rng.choice(
                    persons, min(persons, int(rng.choice(4, p=[0.1, 0.5, 0.38, 0.02]))), replace=False
                )
            )
            for _ in range(persons)
        ]
        videos = [f"video {index}" for index in range(persons)]
        graph = np.zeros((persons, persons))
        for people in shown:
            for one, other in itertools.product(people, people):
                graph[int(one[2:]), int(other[2:])] = 1
        _, component = connected_components(graph, directed=False)
        size = np.bincount(component)
        expected = []
        for video, people in zip(videos, shown, strict=True):
            joined = component[int(people[0][2:])] if people else -1
            expected.append(video if joined < 0 else f"pair {joined}" if size[joined] == 2 else people[0])
        found = cluster_names(videos, shown)
        # The same partition, whatever the clusters are called.
        assert len(set(zip(found, expected, strict=True))) == len(set(found)) == len(set(expected))
        order = rng.permutation(persons).tolist()
        assert cluster_names([videos[i] for i in order], [shown[i] for i in order]) == tuple(found[i] for i in order)


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
