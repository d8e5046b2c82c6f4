"""Shares of videos that are alike within clusters, against R's survey, statsmodels, closed forms and simulation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy.stats import beta, norm, t
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.proportion import proportion_confint

from evaluate.statistics.clustered_count import ClusteredCount, clustered_count, independent_count
from evaluate.statistics.interval import Interval
from evaluate.statistics.proportion import proportion, proportion_bounds
from export.errors import DataError
from tests.evaluate.statistics.drawn_scores import FRESH, SEEDS
from tests.evaluate.statistics.r_script import r_answer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Margins = NDArray[np.float64]
    Grouped = tuple[NDArray[np.bool_], NDArray[np.int64]]

_SURVEY = """
d <- svydesign(ids=~g, weights=~w, data=data.frame(y=y, g=g, w=1))
m <- svymean(~y, d, deff="replace")
i <- attr(svyciprop(~y, d, method="beta", level=0.9), "ci")
cat(vcov(m), deff(m), degf(d), i, "\\n")
"""


def counted_of(events: NDArray[np.bool_], numbers: NDArray[np.int64]) -> ClusteredCount:
    """Counts events whose margins tell nothing but the event."""
    return clustered_count(events, -events.astype(np.float64), numbers)


def beta_binomial(rng: np.random.Generator, share: float, alike: float, clusters: int = 60) -> Grouped:
    """Draws events whose correlation within a cluster is `alike`, in clusters of 1 to 40 videos."""
    sizes = np.minimum(rng.geometric(0.12, clusters), 40)
    shares = np.full(clusters, share)
    if alike:
        shares = rng.beta(share * (1 - alike) / alike, (1 - share) * (1 - alike) / alike, clusters)
    numbers = np.repeat(np.arange(clusters), sizes)
    return rng.random(numbers.size) < shares[numbers], numbers


def some_of_each(seed: int, count: int) -> list[Grouped]:
    """Draws data sets in which some videos show the event and some do not, alike or not."""
    rng, drawn = np.random.default_rng(seed), []
    while len(drawn) < count:
        clusters = int(rng.integers(2, 60))
        events, numbers = beta_binomial(rng, rng.uniform(0.02, 0.9), rng.choice([0.0, 0.1, 0.5]), clusters)
        if 0 < events.sum() < events.size and events.size > clusters:
            drawn.append((events, numbers))
    return drawn


def clopper_pearson(share: float, total: float) -> tuple[float, float]:
    low = beta.ppf(0.05, total * share, total * (1 - share) + 1)
    return low, beta.ppf(0.95, total * share + 1, total * (1 - share))


@pytest.mark.parametrize("seed", SEEDS)
def test_variance_design_effect_and_bounds_are_those_of_rs_survey(seed: int) -> None:
    drawn = some_of_each(seed, 12)
    script = "".join(
        f"y <- c({', '.join(map(str, events.astype(int)))})\ng <- c({', '.join(map(str, numbers))})\n{_SURVEY}"
        for events, numbers in drawn
    )
    for (events, numbers), line in zip(drawn, r_answer("survey", script).splitlines(), strict=True):
        variance, design_effect, degrees, low, high = map(float, line.split())
        counted = counted_of(events, numbers)
        share, total = counted.share, counted.total
        assert degrees == counted.clusters - 1
        assert variance == pytest.approx(design_effect * share * (1 - share) / (total - 1), rel=1e-9)
        assert counted.design_effect == pytest.approx(max(1.0, design_effect), rel=1e-9)
        if design_effect >= 1:
            # R divides by N - 1 where we divide by N, so that videos by themselves count as their number.
            effective = counted.effective_total(0.95) * (total - 1) / total
            assert (low, high) == pytest.approx(clopper_pearson(share, effective), rel=1e-8)
            found = proportion_bounds(counted)
            expected = clopper_pearson(share, counted.effective_total(0.95))
            unseen = 0.05 ** (1 / counted.effective_total_of_none(0.95))
            assert found.low == pytest.approx(min(expected[0], unseen), rel=1e-8)
            assert found.high == pytest.approx(max(expected[1], 1 - unseen), rel=1e-8)


@pytest.mark.parametrize("seed", SEEDS)
def test_design_effect_is_that_of_a_regression_with_clustered_errors(seed: int) -> None:
    for events, numbers in some_of_each(seed, 40):
        fitted = OLS(events.astype(float), np.ones(events.size)).fit(cov_type="cluster", cov_kwds={"groups": numbers})
        variance = float(fitted.cov_params()[0, 0])
        alone = float(OLS(events.astype(float), np.ones(events.size)).fit().cov_params()[0, 0])
        counted = counted_of(events, numbers)
        assert (counted.count, counted.total) == (events.sum(), events.size)
        assert counted.design_effect == pytest.approx(max(1.0, variance / alone), rel=1e-9)
        quantiles = t.ppf(0.95, [counted.total - 1, counted.clusters - 1])
        effective = counted.total / counted.design_effect * (quantiles[0] / quantiles[1]) ** 2
        assert counted.effective_total(0.95) == pytest.approx(effective, rel=1e-9)


@pytest.mark.parametrize("seed", SEEDS)
def test_bounds_are_never_narrower_than_those_of_independent_videos(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for events, numbers in some_of_each(seed, 100):
        counted, alone = counted_of(events, numbers), independent_count(int(events.sum()), events.size)
        for confidence in (0.8, 0.95, 0.99):
            assert counted.effective_total(confidence) <= counted.total
            for function in (proportion_bounds, lambda c, level: proportion(c, level).interval):
                found, narrow = function(counted, confidence), function(alone, confidence)
                assert 0 <= found.low <= narrow.low + 1e-12
                assert narrow.high - 1e-12 <= found.high <= 1
        order, names = rng.permutation(events.size), rng.permutation(numbers.max() + 5)
        again = counted_of(events[order], names[numbers[order]])
        assert (again.count, again.total, again.clusters) == (counted.count, counted.total, counted.clusters)
        assert again.design_effect == pytest.approx(counted.design_effect, rel=1e-12)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_videos_of_a_cluster_each_have_the_bounds_of_independent_ones(seed: int, confidence: float) -> None:
    rng = np.random.default_rng(seed)
    for total in (1, 2, 40, 178, *rng.integers(1, 900, 20).tolist()):
        events = rng.random(total) < rng.choice([0.0, 0.02, 0.5, 1.0])
        counted = counted_of(events, rng.permutation(total + 3)[:total])
        count = int(events.sum())
        assert counted == independent_count(count, total)
        expected = proportion_confint(count, total, 2 * (1 - confidence), method="beta")
        found = proportion_bounds(counted, confidence)
        assert (found.low, found.high) == pytest.approx(expected, abs=1e-9)
        interval = proportion(counted, confidence).interval
        expected = proportion_confint(count, total, 1 - confidence, method="wilson")
        assert (interval.low, interval.high) == pytest.approx(expected, abs=1e-12)


def test_the_other_outcome_has_the_mirrored_bounds() -> None:
    for events, numbers in some_of_each(3, 20):
        found, mirrored = (proportion_bounds(counted_of(shown, numbers)) for shown in (events, ~events))
        assert (found.low, found.high) == pytest.approx((1 - mirrored.high, 1 - mirrored.low), abs=1e-9)


@pytest.mark.parametrize(("size", "clusters", "hit"), [(7, 40, 8), (3, 200, 150), (20, 12, 1)])
def test_clusters_that_are_all_alike_count_once_each(size: int, clusters: int, hit: int) -> None:
    numbers = np.repeat(np.arange(clusters), size)
    counted = counted_of(numbers < hit, numbers)
    assert counted.design_effect == pytest.approx((counted.total - 1) / (clusters - 1))
    quantiles = t.ppf(0.95, [counted.total - 1, clusters - 1])
    assert counted.effective_total(0.95) == pytest.approx(clusters * (quantiles[0] / quantiles[1]) ** 2, rel=0.1)


def latent(rng: np.random.Generator, share: float, alike: float, clusters: int = 60) -> tuple[Grouped, Margins]:
    """Draws events that are normal margins below 0, which correlate within a cluster by `alike`."""
    numbers = np.repeat(np.arange(clusters), np.minimum(rng.geometric(0.12, clusters), 40))
    noise = rng.standard_normal(numbers.size)
    margins = np.sqrt(alike) * rng.standard_normal(clusters)[numbers] + np.sqrt(1 - alike) * noise - norm.ppf(share)
    return (margins < 0, numbers), margins


@pytest.mark.parametrize("seed", SEEDS)
def test_margins_of_no_event_have_the_design_effect_of_an_analysis_of_variance(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for alike in (0.0, 0.1, 0.5, 0.9):
        (_, numbers), margins = latent(rng, 0.5, alike)
        never = np.zeros(numbers.size, bool)
        counted = clustered_count(never, np.exp(margins), numbers)  # only ranks count
        scores = norm.ppf((np.argsort(np.argsort(margins)) + 0.5) / margins.size)
        fitted = OLS(scores, np.equal.outer(numbers, np.unique(numbers)).astype(float)).fit()
        between, within = fitted.ess / (60 - 1), fitted.ssr / (margins.size - 60)
        sizes = np.bincount(numbers)
        usual = (margins.size - np.sum(sizes**2) / margins.size) / (60 - 1)
        correlation = max(0.0, (between - within) / (between + (usual - 1) * within))
        assert counted.effect_of_margins == pytest.approx(
            1 + (np.average(sizes, weights=sizes) - 1) * correlation, rel=1e-9
        )
        assert correlation == pytest.approx(alike, abs=0.3)
        quantiles = t.ppf(0.95, [numbers.size - 1, 59])
        effective = numbers.size / counted.effect_of_margins * (quantiles[0] / quantiles[1]) ** 2
        assert counted.effective_total(0.95) == pytest.approx(effective, rel=1e-9)
        assert proportion_bounds(counted).high == pytest.approx(1 - 0.05 ** (1 / effective), rel=1e-9)
        every = proportion_bounds(clustered_count(~never, margins, numbers))
        assert every.low == pytest.approx(0.05 ** (1 / effective), rel=1e-9)


@pytest.mark.parametrize("margins", [np.zeros(80), np.repeat(np.arange(20.0), 4)])
def test_videos_with_the_margins_of_their_clusters_count_once_per_cluster(margins: NDArray[np.float64]) -> None:
    counted = clustered_count(np.zeros(80, bool), margins, np.repeat(np.arange(20), 4))
    assert counted.effect_of_margins == pytest.approx(4)


@pytest.mark.parametrize("alike", [0.0, 0.3, 0.9])
def test_an_event_more_never_brings_a_bound_nearer_than_none(alike: float) -> None:
    """A first event comes alone, so that its cluster does not look alike, and all videos would seem independent."""
    (_, numbers), margins = latent(np.random.default_rng(5), 0.5, alike)
    nothing = clustered_count(np.zeros(numbers.size, bool), margins, numbers)
    for hit in range(1, 40):
        events = np.arange(numbers.size) % 12 == 0
        events &= np.cumsum(events) <= hit
        for function in (proportion_bounds, lambda counted: proportion(counted).interval):
            found, mirrored = (function(clustered_count(shown, margins, numbers)) for shown in (events, ~events))
            assert found.high >= function(nothing).high
            assert found.high == pytest.approx(1 - mirrored.low, abs=1e-9)


@pytest.mark.parametrize("shown", [0, 3, 8])
def test_one_person_says_nothing_of_others(shown: int) -> None:
    counted = counted_of(np.arange(8) < shown, np.zeros(8, np.int64))
    assert proportion_bounds(counted) == proportion(counted).interval == Interval(0.0, 1.0)


def test_every_video_needs_a_cluster() -> None:
    with pytest.raises(DataError, match="2 clusters and 3 margins for 3 videos"):
        counted_of(np.zeros(3, bool), np.zeros(2, np.int64))


SETS = 500
# What 2,000 sets have shown; the bounds of independent videos hold in some 80 % where videos are much alike.
HELD = {(0.5, 0.05): 0.91, (0.5, 0.2): 0.94, (0.1, 0.2): 0.94}


@pytest.mark.parametrize("seed", [FRESH])
@pytest.mark.parametrize("alike", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("share", [0.01, 0.02, 0.05, 0.2])
def test_bounds_of_clusters_hold_the_share_where_those_of_independent_videos_do_not(
    share: float, alike: float, seed: int
) -> None:
    rng, held = np.random.default_rng(seed), np.zeros((2, 2))
    for _ in range(SETS):
        (events, numbers), margins = latent(rng, share, alike)
        counted = clustered_count(events, margins, numbers)
        pair = [proportion_bounds(c) for c in (counted, independent_count(counted.count, counted.total))]
        held += [[bounds.high >= share, bounds.low <= share] for bounds in pair]
    # Of 500 sets, right code has some 4.5 standard errors less once in a quarter of a million.
    expected = np.array([HELD.get((alike, share), 0.95), 0.95])
    assert np.all(held[0] / SETS >= expected - 4.5 * np.sqrt(expected * (1 - expected) / SETS)), held / SETS
    if alike == 0.5 and share > 0.02:
        assert np.all(held[1] / SETS < 0.9)


@pytest.mark.parametrize("seed", [FRESH])
def test_bounds_hold_less_often_where_errors_come_by_the_person_and_no_margin_shows_it(seed: int) -> None:
    """The limit of the method, as docs/verdict.md tells it: 79 % of test sets, and 66 % by independent videos."""
    rng, held = np.random.default_rng(seed), np.zeros(2)
    for _ in range(SETS):
        events, numbers = beta_binomial(rng, 0.02, 0.5)
        counted = clustered_count(events, np.where(events, -1, 1) * rng.random(events.size), numbers)
        pair = [proportion_bounds(c) for c in (counted, independent_count(counted.count, counted.total))]
        held += [bounds.high >= 0.02 for bounds in pair]
    assert 0.7 < held[0] / SETS < 0.87
    assert held[1] < held[0] - 0.05 * SETS


def test_counts_of_nothing_say_nothing() -> None:
    nothing = counted_of(np.zeros(0, bool), np.zeros(0, np.int64))
    assert nothing == ClusteredCount(0, 0, 0, 1.0, 1.0)
    assert proportion_bounds(nothing) == Interval(0.0, 1.0)
