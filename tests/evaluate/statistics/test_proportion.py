from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom, binomtest
from statsmodels.stats.proportion import proportion_confint

from evaluate.statistics.clustered_count import independent_count
from evaluate.statistics.interval import Interval
from evaluate.statistics.proportion import proportion, proportion_bounds
from tests.evaluate.statistics.drawn_scores import SEEDS

SHARES = [(0, 1), (1, 1), (0, 178), (178, 178), (1, 178), (177, 178), (9, 18), (3, 10**6), (340, 518)]


def counts(seed: int) -> list[tuple[int, int]]:
    rng = np.random.default_rng(seed)
    totals = rng.integers(1, 2000, 40).tolist()
    return SHARES + [(int(rng.integers(0, total + 1)), total) for total in totals]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.999])
def test_wilson_interval_is_that_of_statsmodels_and_scipy(seed: int, confidence: float) -> None:
    for count, total in counts(seed):
        found = proportion(independent_count(count, total), confidence)
        assert found.share == count / total
        expected = proportion_confint(count, total, 1 - confidence, method="wilson")
        assert (found.interval.low, found.interval.high) == pytest.approx(expected, abs=1e-12)
        scipys = binomtest(count, total).proportion_ci(confidence, method="wilson")
        assert (found.interval.low, found.interval.high) == pytest.approx((scipys.low, scipys.high), abs=1e-12)
        assert 0 <= found.interval.low <= found.share <= found.interval.high <= 1


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.999])
def test_bounds_are_those_of_clopper_and_pearson(seed: int, confidence: float) -> None:
    for count, total in counts(seed):
        found = proportion_bounds(independent_count(count, total), confidence)
        # A two-sided interval leaves half of its error on either side.
        expected = proportion_confint(count, total, 2 * (1 - confidence), method="beta")
        assert (found.low, found.high) == pytest.approx(expected, abs=1e-9)
        assert 0 <= found.low <= count / total <= found.high <= 1


@pytest.mark.parametrize("total", [5, 40, 178])
def test_a_bound_is_wrong_no_more_often_than_it_says_whatever_the_share(total: int) -> None:
    every = np.arange(total + 1)
    bounds = [proportion_bounds(independent_count(int(count), total), 0.95) for count in every]
    low, high = np.array([b.low for b in bounds]), np.array([b.high for b in bounds])
    for share in np.linspace(0.001, 0.999, 333):
        chances = binom.pmf(every, total, share)
        assert chances[low > share].sum() <= 0.05 + 1e-9
        assert chances[high < share].sum() <= 0.05 + 1e-9


def test_an_end_of_wilsons_interval_would_be_wrong_too_often_where_limits_lie() -> None:
    """Of 178 reals with a true rate of 2 %, its 95 % one-sided lower bound exceeds the truth in more than 5 %."""
    every = np.arange(179)
    low = np.array([proportion(independent_count(int(count), 178), 0.9).interval.low for count in every])
    assert binom.pmf(every, 178, 0.02)[low > 0.02].sum() > 0.05 + 0.01


def test_none_of_many_is_zero_with_an_upper_bound_near_three_over_their_number() -> None:
    assert proportion(independent_count(0, 178)).interval.low == 0.0
    assert proportion(independent_count(0, 178)).interval.high == pytest.approx(0.0211, abs=5e-5)
    found = proportion_bounds(independent_count(0, 178))
    assert found.low == 0.0
    assert found.high == pytest.approx(1 - 0.05 ** (1 / 178), rel=1e-9)
    assert found.high == pytest.approx(3 / 178, rel=0.02)
    assert (
        proportion_bounds(independent_count(178, 178)).high
        == proportion(independent_count(178, 178)).interval.high
        == 1.0
    )


def test_nothing_says_nothing() -> None:
    assert proportion(independent_count(0, 0)).share == 0.0
    assert (
        proportion(independent_count(0, 0)).interval == proportion_bounds(independent_count(0, 0)) == Interval(0.0, 1.0)
    )


@pytest.mark.parametrize(("count", "total", "confidence"), [(-1, 3, 0.95), (4, 3, 0.95), (1, 3, 95), (1, 3, 0.0)])
def test_what_is_no_share_is_refused(count: int, total: int, confidence: float) -> None:
    for function in (proportion, proportion_bounds):
        with pytest.raises(ValueError, match=r"no share|expected between 0 and 1"):
            function(independent_count(count, total), confidence)
