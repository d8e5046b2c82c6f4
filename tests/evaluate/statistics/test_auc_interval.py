"""Intervals of AUCs and of their differences: R's pROC, closed forms, and sets that say little."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, logit
from scipy.stats import beta, norm, t

from evaluate.statistics.auc_interval import (
    AucEstimate,
    auc_differences,
    auc_estimates,
    require_better_than_chance,
)
from evaluate.statistics.bootstrap import bootstrap_aucs
from evaluate.statistics.clusters import clusters_of
from evaluate.statistics.interval import Interval
from evaluate.statistics.labelled_scores import labelled_scores
from export.errors import DataError
from tests.evaluate.statistics import proc
from tests.evaluate.statistics.drawn_scores import KINDS, SEEDS, drawn
from tests.evaluate.statistics.persons import Persons

PERSONS = Persons(count=30, fakes=3, reals=1, others=20, distance=2, shared=0.3, noise=0.3, noise_shared=0.3)


def names_of(count: int) -> list[str]:
    return [f"{video:05d}.mp4" for video in range(count)]


@pytest.mark.parametrize("seed", SEEDS)
def test_delongs_interval_is_procs_on_the_scale_of_the_logit(seed: int) -> None:
    is_fake, scores = drawn("distinct", seed)
    expected = proc.curves(is_fake, scores, -scores)
    (estimate,) = auc_estimates(is_fake, scores[np.newaxis], names_of(scores.size))
    # By the delta method the logit's standard error is the AUC's over A (1 - A).
    auc = expected.aucs[0]
    half = norm.ppf(0.975) * expected.variances[0] ** 0.5 / (auc * (1 - auc))
    assert estimate.value == pytest.approx(auc, abs=1e-12)
    assert [estimate.delong.low, estimate.delong.high] == pytest.approx(
        [expit(logit(auc) - half), expit(logit(auc) + half)], abs=1e-9
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_delongs_difference_is_procs(seed: int) -> None:
    is_fake, scores = drawn("distinct", seed)
    variant = scores + np.random.default_rng([seed, 2]).normal(0, 0.1, scores.size)
    expected = proc.curves(is_fake, variant, scores)
    (difference,) = auc_differences(is_fake, variant[np.newaxis], scores, names_of(scores.size))
    assert difference.value == pytest.approx(expected.aucs[0] - expected.aucs[1], abs=1e-12)
    assert [difference.delong.low, difference.delong.high] == pytest.approx(expected.difference, abs=1e-9)
    assert difference.correlation == pytest.approx(
        expected.covariance / (expected.variances[0] * expected.variances[1]) ** 0.5, abs=1e-6
    )
    assert 2 * norm.sf(abs(difference.value) / difference.standard_error) == pytest.approx(expected.p_value, rel=1e-6)


@pytest.mark.parametrize("seed", SEEDS)
def test_bootstrap_intervals_are_students_of_the_replicates(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores, is_fake, names = PERSONS.drawn(rng), PERSONS.is_fake, PERSONS.clusters
    sampled = bootstrap_aucs(labelled_scores(is_fake, scores), clusters_of(is_fake, names), 2000, 5)
    assert sampled is not None
    estimate, _ = auc_estimates(is_fake, scores, names, 0.9, 2000, 5)
    (difference,) = auc_differences(is_fake, scores[1:], scores[0], names, 0.9, 2000, 5)
    # Thirty persons have fakes, which is the class that fewer clusters hold.
    quantile, auc = t.ppf(0.95, 29), estimate.value
    half = quantile * sampled[0].std(ddof=1) / (auc * (1 - auc))
    assert [estimate.bootstrap.low, estimate.bootstrap.high] == pytest.approx(
        expit(logit(auc) + np.array([-half, half]))
    )
    half = quantile * (sampled[1] - sampled[0]).std(ddof=1)
    expected = difference.value + np.array([-half, half])
    assert [difference.bootstrap.low, difference.bootstrap.high] == pytest.approx(expected)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_interval_is_finite_and_holds_its_estimate(kind: str, seed: int) -> None:
    is_fake, scores = drawn(kind, seed)
    rows = np.stack([scores, np.round(scores, 1), scores[::-1]])
    names = [f"id{video // 2}" for video in range(scores.size)]
    for estimate in auc_estimates(is_fake, rows, names):
        for interval in (estimate.delong, estimate.bootstrap):
            assert 0 <= interval.low <= estimate.value + 1e-12
            assert estimate.value - 1e-12 <= interval.high <= 1
            assert interval.width > 0
    for difference in auc_differences(is_fake, rows, scores, names):
        for interval in (difference.delong, difference.bootstrap):
            assert -1 <= interval.low <= difference.value + 1e-12
            assert difference.value - 1e-12 <= interval.high <= 1
        assert difference.correlation is None or -1 <= difference.correlation <= 1


@pytest.mark.parametrize(("fakes", "reals"), [(1, 1), (2, 3), (5, 5), (60, 178)])
def test_an_auc_of_one_is_bounded_as_clopper_and_pearson_bound_a_share_of_one(fakes: int, reals: int) -> None:
    is_fake = np.arange(fakes + reals) < fakes
    scores = np.where(is_fake, 0.8, 0.2)[np.newaxis] + np.linspace(0, 0.1, fakes + reals)
    pairs = min(fakes, reals)
    lowest = beta.ppf(0.025, pairs, 1)
    (estimate,) = auc_estimates(is_fake, scores, names_of(fakes + reals))
    assert estimate.value == 1
    assert (estimate.delong.low, estimate.delong.high) == (pytest.approx(lowest), 1)
    assert estimate.bootstrap.low == (0 if pairs == 1 else pytest.approx(lowest))
    (swapped,) = auc_estimates(~is_fake, scores, names_of(fakes + reals))
    assert (swapped.value, swapped.delong.low, swapped.delong.high) == (0, 0, pytest.approx(1 - lowest))


def test_persons_count_once_where_an_auc_is_one() -> None:
    """Two persons with thirty videos each are one independent pair."""
    is_fake = np.arange(60) % 2 == 0
    (estimate,) = auc_estimates(is_fake, is_fake[np.newaxis].astype(float), ["a"] * 30 + ["b"] * 30)
    assert (estimate.value, estimate.bootstrap.low) == (1, pytest.approx(0.025))
    assert estimate.quoted == estimate.bootstrap


def test_constant_scores_leave_an_auc_of_one_half_with_some_doubt() -> None:
    is_fake = np.arange(40) < 20
    (estimate,) = auc_estimates(is_fake, np.full((1, 40), 0.3), names_of(40))
    assert estimate.value == 0.5
    assert estimate.delong.low == pytest.approx(1 - estimate.delong.high)
    assert 0.3 < estimate.quoted.low < 0.5


@pytest.mark.parametrize("seed", SEEDS)
def test_the_same_order_is_no_difference_whatever_the_scale(seed: int) -> None:
    is_fake, scores = drawn("tied", seed)
    (difference,) = auc_differences(is_fake, np.exp(scores)[np.newaxis], scores, names_of(scores.size))
    assert (difference.value, difference.standard_error) == (0, 0)
    assert difference.delong == difference.bootstrap == Interval(0, 0)
    assert difference.correlation == pytest.approx(1)


def test_two_aucs_of_one_are_not_surely_equal() -> None:
    """Videos that change places among their own class could have done so across the classes."""
    is_fake, rng = np.arange(80) < 40, np.random.default_rng(0)
    scores = is_fake + rng.uniform(0, 0.9, 80)
    other, near = is_fake + rng.uniform(0, 0.9, 80), scores + rng.uniform(0, 0.03, 80)
    apart, close = auc_differences(is_fake, np.stack([other, near]), scores, names_of(80))
    assert apart.value == close.value == 0
    # All forty fakes can have passed others of their kind, so the rule of three: 1 - 0.025 ** (1 / 40) = 0.088.
    assert -0.089 < apart.delong.low < -0.05
    assert -0.02 < close.delong.low < 0
    assert apart.delong.high == -apart.delong.low


@pytest.mark.parametrize("seed", SEEDS)
def test_only_order_and_clusters_count(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores, is_fake, names = PERSONS.drawn(rng, 2), PERSONS.is_fake, PERSONS.clusters
    order = rng.permutation(is_fake.size)
    shuffled = [names[video] for video in order]
    given = auc_estimates(is_fake, scores, names), auc_differences(is_fake, scores[1:], scores[0], names)
    changed = (
        auc_estimates(is_fake[order], np.exp(scores[:, order]), shuffled),
        auc_differences(is_fake[order], np.exp(scores[1:, order]), scores[0, order] ** 3, shuffled),
    )
    for one, other in zip(given[0] + given[1], changed[0] + changed[1], strict=True):
        assert other.value == pytest.approx(one.value, abs=1e-12)
        for left, right in ((one.delong, other.delong), (one.bootstrap, other.bootstrap)):
            assert [right.low, right.high] == pytest.approx([left.low, left.high], abs=1e-9)


def test_fakes_of_one_person_alone_say_nothing_of_others() -> None:
    is_fake = np.arange(20) < 8
    scores = np.random.default_rng(0).random((2, 20))
    names = ["id0"] * 8 + names_of(12)
    estimate, _ = auc_estimates(is_fake, scores, names)
    (difference,) = auc_differences(is_fake, scores[1:], scores[0], names)
    assert estimate.quoted == Interval(0, 1)
    assert difference.quoted == Interval(-1, 1)


def test_a_detector_that_ranks_reals_above_fakes_is_refused() -> None:
    rng, is_fake = np.random.default_rng(0), np.arange(200) < 120
    scores = np.stack([rng.normal(shift * is_fake, 1) for shift in (-1, 0.05, 1)])
    reversed_, chance, right = auc_estimates(is_fake, scores, names_of(200))
    assert reversed_.value < 0.4
    with pytest.raises(DataError, match=r"baseline has an AUC of 0\.\d{4}.*check the labels and the index"):
        require_better_than_chance("baseline", reversed_)
    require_better_than_chance("baseline", chance)
    require_better_than_chance("baseline", right)
    wide = AucEstimate(0.3, Interval(0.2, 0.4), Interval(0.1, 0.55))
    require_better_than_chance("baseline", wide)


def test_bad_input_is_refused() -> None:
    is_fake, scores = np.array([True, True, False, False]), np.array([[0.9, 0.4, 0.5, 0.1]])
    with pytest.raises(DataError, match="3 clusters for 4 videos"):
        auc_estimates(is_fake, scores, ["a", "b", "c"])
    with pytest.raises(DataError, match="1 of 4 scores are NaN"):
        auc_differences(is_fake, scores, np.array([0.1, np.nan, 0.2, 0.3]), list("abcd"))
    with pytest.raises(DataError, match=r"scores \(1, 3\)"):
        auc_differences(is_fake, scores, np.array([0.1, 0.2, 0.3]), list("abcd"))
    for confidence in (0.5, 1.0, 95, float("nan")):
        with pytest.raises(DataError, match=r"expected a share above 0\.5 and below 1"):
            auc_estimates(is_fake, scores, list("abcd"), confidence)
