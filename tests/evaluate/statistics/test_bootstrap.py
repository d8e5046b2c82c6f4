"""The bootstrap of clusters against loops over drawn videos, scikit-learn and variances in closed form."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy.stats import ks_2samp
from sklearn.metrics import roc_auc_score

from evaluate.statistics import bootstrap
from evaluate.statistics.bootstrap import bootstrap_aucs
from evaluate.statistics.clusters import clusters_of
from evaluate.statistics.delong import placements
from evaluate.statistics.labelled_scores import labelled_scores
from export.errors import DataError
from tests.evaluate.statistics.drawn_scores import SEEDS
from tests.evaluate.statistics.persons import Persons

if TYPE_CHECKING:
    from numpy.typing import NDArray

MIXED = Persons(count=7, fakes=3, reals=2, others=9, distance=1.2, shared=0.4, noise=0.5)


def sampled(
    is_fake: NDArray[np.bool_], scores: NDArray[np.float64], names: list[str], replicates: int, seed: int = 0
) -> NDArray[np.float64]:
    aucs = bootstrap_aucs(labelled_scores(is_fake, scores), clusters_of(is_fake, names), replicates, seed)
    assert aucs is not None
    return aucs


def drawn_by_a_loop(
    is_fake: NDArray[np.bool_], scores: NDArray[np.float64], names: list[str], rng: np.random.Generator
) -> float:
    """Of each kind of cluster all but one are drawn; a kind weighs as much as its share of the clusters."""
    videos: dict[str, list[int]] = {}
    for video, name in enumerate(names):
        videos.setdefault(name, []).append(video)
    kinds: dict[frozenset[bool], list[str]] = {}
    for name, own in videos.items():
        kinds.setdefault(frozenset(bool(is_fake[video]) for video in own), []).append(name)
    drawn, weights = [], []
    for members in kinds.values():
        for member in rng.choice(members, len(members) - 1):
            drawn += videos[member]
            weights += [len(members) / (len(members) - 1)] * len(videos[member])
    return float(roc_auc_score(is_fake[drawn], scores[drawn], sample_weight=weights))


@pytest.mark.parametrize("seed", SEEDS)
def test_replicates_are_distributed_as_those_of_a_loop(seed: int) -> None:
    rng = np.random.default_rng(seed)
    (scores, _), is_fake, names = MIXED.drawn(rng), MIXED.is_fake, MIXED.clusters
    by_loop = [drawn_by_a_loop(is_fake, scores, names, rng) for _ in range(600)]
    assert ks_2samp(sampled(is_fake, scores[np.newaxis], names, 20_000, seed)[0], by_loop).pvalue > 1e-6


@pytest.mark.parametrize("seed", SEEDS)
def test_a_replicate_is_scikit_learns_auc_of_its_weights(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores, is_fake, names = np.round(MIXED.drawn(rng, 2), 1), MIXED.is_fake, MIXED.clusters
    clusters = clusters_of(is_fake, names)
    (weights,) = bootstrap._weights(clusters, 100, 100, np.random.default_rng(seed))
    expected = [
        [roc_auc_score(is_fake, row, sample_weight=drawn[clusters.of_video]) for drawn in weights.T] for row in scores
    ]
    (computed,) = [bootstrap_aucs(labelled_scores(is_fake, scores), clusters, 100, seed)]
    np.testing.assert_allclose(computed, expected, atol=1e-12)


# Of 150 persons with fakes and reals; of 150 with fakes alone and 200 other videos.
BOTH = Persons(150, fakes=3, reals=2, others=0, distance=1.5, shared=0.5, noise=0.4, noise_shared=0.5)
APART = Persons(150, fakes=4, reals=0, others=200, distance=1.5, shared=0.5, noise=0.4, noise_shared=0.5)


def obuchowskis_error(of_fakes: NDArray[np.float64], of_reals: NDArray[np.float64], persons: Persons) -> float:
    """Obuchowski, Biometrics 1997: from sums of centred placements by cluster, both classes of it together."""
    _, cluster = np.unique(persons.clusters, return_inverse=True)
    clusters, is_fake = cluster.max() + 1, persons.is_fake
    sums = np.bincount(cluster[is_fake], of_fakes - of_fakes.mean(), clusters) / of_fakes.size
    sums += np.bincount(cluster[~is_fake], of_reals - of_reals.mean(), clusters) / of_reals.size
    return float(np.sum(sums**2) * 150 / 149) ** 0.5


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("persons", [BOTH, APART], ids=["both", "apart"])
def test_standard_error_is_obuchowskis_for_clustered_curves(persons: Persons, seed: int) -> None:
    scores = persons.drawn(np.random.default_rng(seed))
    placed = placements(labelled_scores(persons.is_fake, scores))
    aucs = sampled(persons.is_fake, scores, persons.clusters, 20_000, seed)
    # Standard errors of 20,000 replicates are good to 0.5 %; the rest is the curvature of an AUC of 150 persons.
    error = obuchowskis_error(placed.fakes[0], placed.reals[0], persons)
    assert aucs[0].std() == pytest.approx(error, rel=0.06)
    difference = obuchowskis_error(placed.fakes[1] - placed.fakes[0], placed.reals[1] - placed.reals[0], persons)
    assert (aucs[1] - aucs[0]).std() == pytest.approx(difference, rel=0.06)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("persons", [BOTH, APART], ids=["both", "apart"])
def test_delong_errs_either_way_where_persons_have_many_videos(persons: Persons, seed: int) -> None:
    """It takes all videos for independent: too little where a person's fakes are alike, and too much where a person's
    fakes and reals are, since what they share is no matter between them."""
    rng, ratios = np.random.default_rng(seed), []
    for _ in range(20):
        placed = placements(labelled_scores(persons.is_fake, persons.drawn(rng)))
        ratios.append(placed.covariance[0, 0] ** 0.5 / obuchowskis_error(placed.fakes[0], placed.reals[0], persons))
    # A single set of videos scatters around 0.87 and 1.10 by 0.03 and 0.05.
    assert np.mean(ratios) < 0.9 if persons is APART else np.mean(ratios) > 1.04


@pytest.mark.parametrize("seed", SEEDS)
def test_standard_error_of_single_videos_is_delongs(seed: int) -> None:
    persons = Persons(count=0, fakes=0, reals=0, others=200, distance=0, shared=0, noise=0.3)
    rng = np.random.default_rng(seed)
    is_fake = np.arange(200) < 110
    scores = persons.drawn(rng) + is_fake
    aucs = sampled(is_fake, scores, persons.clusters, 20_000, seed)
    covariance = placements(labelled_scores(is_fake, scores)).covariance
    np.testing.assert_allclose(np.cov(aucs), covariance, rtol=0.1)


@pytest.mark.parametrize("stratum", [2, 3, 12])
def test_variance_of_a_mean_is_unbiased_with_few_clusters(stratum: int) -> None:
    is_fake = np.repeat([True, False], stratum)
    clusters = clusters_of(is_fake, [f"{video:02d}" for video in range(2 * stratum)])
    (weights,) = bootstrap._weights(clusters, 200_000, 200_000, np.random.default_rng(1))
    values = np.random.default_rng(2).normal(size=stratum)
    means = values @ weights[:stratum] / stratum
    # Of kurtosis 3 or so, 200,000 values give a variance to 0.3 %.
    assert means.var() == pytest.approx(values.var(ddof=1) / stratum, rel=0.03)
    assert means.mean() == pytest.approx(values.mean(), abs=0.02)


def test_a_person_comes_along_with_all_videos() -> None:
    persons = Persons(count=6, fakes=2, reals=3, others=5, distance=1, shared=0, noise=0)
    clusters = clusters_of(persons.is_fake, persons.clusters)
    (weights,) = bootstrap._weights(clusters, 400, 400, np.random.default_rng(0))
    drawn = weights[clusters.with_fakes] * 5 / 6
    np.testing.assert_allclose(drawn, np.round(drawn), atol=1e-12)
    assert np.round(drawn.sum(axis=0)).tolist() == [5] * 400
    assert np.round(weights.sum(axis=0)).tolist() == [11] * 400


@pytest.mark.parametrize("names", ["abcd", "abca", "aabc", "abbc", "abab", "aabb"])
def test_no_replicate_lacks_a_class(names: str) -> None:
    """Two fakes and two reals, in whatever clusters; where a class has but one, there is nothing to draw."""
    is_fake, scores = np.array([True, True, False, False]), np.array([[0.9, 0.4, 0.5, 0.6]])
    aucs = bootstrap_aucs(labelled_scores(is_fake, scores), clusters_of(is_fake, list(names)), 3000, 0)
    if len(set(names[:2])) == 1 or len(set(names[2:])) == 1:
        assert aucs is None
    else:
        assert aucs is not None
        assert aucs.shape == (1, 3000)
        assert np.isfinite(aucs).all()
        assert np.ptp(aucs) > 0


def test_a_lone_kind_of_cluster_varies_too() -> None:
    """Ten persons with both classes and one with fakes alone, whose fakes are the worst: some replicates miss them."""
    persons = Persons(count=10, fakes=2, reals=2, others=0, distance=9, shared=0, noise=0)
    scores = np.append(persons.drawn(np.random.default_rng(0))[0], [-9.0, -9.0])
    is_fake, names = np.append(persons.is_fake, [True, True]), [*persons.clusters, "id99", "id99"]
    aucs = sampled(is_fake, scores[np.newaxis], names, 1000)
    assert aucs.max() == pytest.approx(1)
    assert aucs.min() < 0.85


@pytest.mark.parametrize("seed", SEEDS)
def test_variants_share_replicates_which_the_seed_alone_decides(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores, is_fake, names = MIXED.drawn(rng, 2), MIXED.is_fake, MIXED.clusters
    together = sampled(is_fake, scores, names, 300, 7)
    assert (sampled(is_fake, scores, names, 300, 7) == together).all()
    assert (sampled(is_fake, scores[2:], names, 300, 7)[0] == together[2]).all()
    assert (sampled(is_fake, scores, names, 300, 8) != together).any()
    order = rng.permutation(is_fake.size)
    shuffled = sampled(is_fake[order], np.exp(scores[:, order]), [names[video] for video in order], 300, 7)
    np.testing.assert_allclose(shuffled, together, atol=1e-12)


def test_blocks_hold_whole_replicates_in_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    scores, is_fake, names = MIXED.drawn(rng), MIXED.is_fake, MIXED.clusters
    monkeypatch.setattr(bootstrap, "_BLOCK", 50 * is_fake.size)
    in_blocks = sampled(is_fake, scores, names, 1999)
    assert in_blocks.shape == (2, 1999)
    blocks = [in_blocks[:, start : start + 50] for start in range(0, 1950, 50)]
    assert len({block.tobytes() for block in blocks}) == len(blocks)
    monkeypatch.undo()
    many = 40_000
    tracemalloc.start()
    sampled(np.arange(many) % 2 == 0, rng.random((1, many)), [str(video % 100) for video in range(many)], 100)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * 8 * bootstrap._BLOCK


def test_too_few_replicates_are_refused() -> None:
    is_fake, scores = np.array([True, True, False, False]), np.array([[0.9, 0.4, 0.5, 0.1]])
    with pytest.raises(DataError, match="99 bootstrap replicates; expected at least 100"):
        bootstrap_aucs(labelled_scores(is_fake, scores), clusters_of(is_fake, list("abcd")), 99, 0)
