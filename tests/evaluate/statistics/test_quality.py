from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import norm
from sklearn.calibration import calibration_curve
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score, roc_curve

from evaluate.statistics.quality import FALSE_POSITIVE_RATES, Quality, quality_from_scores
from export.errors import DataError
from tests.evaluate.statistics.drawn_scores import KINDS, SEEDS, drawn


def recalls(quality: Quality) -> list[float]:
    assert [recall.false_positive_rate for recall in quality.recalls] == list(FALSE_POSITIVE_RATES)
    return [recall.true_positive_rate for recall in quality.recalls]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", KINDS)
def test_metrics_are_those_of_scikit_learn(kind: str, seed: int) -> None:
    is_fake, scores = drawn(kind, seed)
    quality = quality_from_scores(is_fake, scores)
    assert quality.samples == len(scores)
    assert quality.auc == pytest.approx(roc_auc_score(is_fake, scores), abs=1e-12)
    assert quality.average_precision == pytest.approx(average_precision_score(is_fake, scores), abs=1e-12)
    assert quality.log_loss == pytest.approx(log_loss(is_fake, scores, labels=[False, True]), rel=1e-12)
    assert quality.brier == pytest.approx(brier_score_loss(is_fake, scores, labels=[False, True]), abs=1e-12)
    false_alarms, found, _ = roc_curve(is_fake, scores, drop_intermediate=False)
    assert recalls(quality) == [found[false_alarms <= rate].max() for rate in FALSE_POSITIVE_RATES]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", KINDS)
def test_equal_error_rate_is_where_the_error_rates_cross_on_scikit_learns_curve(kind: str, seed: int) -> None:
    is_fake, scores = drawn(kind, seed)
    false_alarms, found, _ = roc_curve(is_fake, scores, drop_intermediate=False)
    places = np.arange(len(found))

    def lead(place: float) -> float:
        return float(1 - np.interp(place, places, found) - np.interp(place, places, false_alarms))

    crossing = brentq(lead, 0, places[-1], xtol=1e-13)
    expected = np.interp(crossing, places, false_alarms)
    assert quality_from_scores(is_fake, scores).equal_error_rate == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", ["distinct", "tied", "one fake", "inverted"])
def test_equal_error_rate_is_the_same_with_the_classes_exchanged(kind: str, seed: int) -> None:
    is_fake, scores = drawn(kind, seed)
    exchanged = quality_from_scores(~is_fake, 1 - np.round(scores, 12))
    assert exchanged.equal_error_rate == pytest.approx(quality_from_scores(is_fake, scores).equal_error_rate, abs=1e-12)


def test_figures_of_two_normal_classes_are_those_of_their_closed_forms() -> None:
    separation, count = 2.0, 400_000
    rng = np.random.default_rng(0)
    is_fake = np.arange(count) % 2 == 0
    logits = separation * (rng.standard_normal(count) + separation * (is_fake - 0.5))
    # The logit is the log likelihood ratio, so its sigmoid is the true probability.
    quality = quality_from_scores(is_fake, 1 / (1 + np.exp(-logits)))
    assert quality.auc == pytest.approx(norm.cdf(separation / math.sqrt(2)), abs=2e-3)
    assert quality.equal_error_rate == pytest.approx(norm.cdf(-separation / 2), abs=3e-3)
    expected = [norm.cdf(separation + norm.ppf(rate)) for rate in FALSE_POSITIVE_RATES]
    assert recalls(quality) == pytest.approx(expected, abs=0.01)
    assert quality.calibration_error < 0.005


@pytest.mark.parametrize(
    ("labels", "scores", "expected"),
    [
        # One step up and one to the right: the errors meet in the corner.
        ([1, 0], [0.9, 0.1], 0.0),
        ([1, 0], [0.1, 0.9], 1.0),
        ([1, 0], [0.5, 0.5], 0.5),
        # Half of the fakes above all reals, the rest tied with one real of two: a sloped segment meets the diagonal.
        ([1, 1, 0, 0], [0.9, 0.5, 0.5, 0.1], 1 / 4),
        # A curve below the diagonal, then above it: no hull is taken.
        ([0, 1, 1, 1, 0, 0], [0.9, 0.8, 0.7, 0.6, 0.3, 0.2], 1 / 3),
    ],
)
def test_equal_error_rate_of_curves_drawn_by_hand(labels: list[int], scores: list[float], expected: float) -> None:
    quality = quality_from_scores(np.array(labels, bool), np.array(scores))
    assert quality.equal_error_rate == pytest.approx(expected, abs=1e-15)


def test_recall_may_use_up_the_allowed_rate_but_is_attained_by_a_threshold() -> None:
    """One of 100 reals outscores the last fake of ten, and one has the score of the ninth."""
    reals = np.concatenate([[0.75, 0.55], np.linspace(0.1, 0.2, 98)])
    fakes = np.concatenate([np.full(8, 0.9), [0.7, 0.55]])
    is_fake = np.arange(110) >= 100
    quality = quality_from_scores(is_fake, np.concatenate([reals, fakes]))
    assert recalls(quality) == [0.9, 1.0, 1.0]
    without_last_hundredth = quality_from_scores(is_fake[1:], np.concatenate([reals, fakes])[1:])
    assert recalls(without_last_hundredth) == [0.9, 1.0, 1.0], "1 of 99 is more than one in a hundred"


def test_no_fake_is_found_where_the_best_scores_are_of_reals() -> None:
    quality = quality_from_scores(np.array([True, False, False]), np.array([0.5, 0.5, 0.1]))
    assert recalls(quality) == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", KINDS)
def test_reliability_is_that_of_scikit_learn_off_the_edges(kind: str, seed: int) -> None:
    is_fake, scores = drawn(kind, seed)
    scores = np.where(scores == 0.3, 0.31, scores)
    quality = quality_from_scores(is_fake, scores)
    shares, means = calibration_curve(is_fake, scores, n_bins=10)
    filled = [place for place in quality.reliability if place.count]
    assert [place.fake_share for place in filled] == pytest.approx(shares.tolist(), abs=1e-12)
    assert [place.mean_score for place in filled] == pytest.approx(means.tolist(), abs=1e-12)
    counts = np.histogram(scores, bins=10, range=(0, 1))[0]
    assert [place.count for place in quality.reliability] == counts.tolist()
    error = np.sum(counts[counts > 0] * np.abs(shares - means)) / len(scores)
    assert quality.calibration_error == pytest.approx(error, abs=1e-12)


def test_a_score_on_an_edge_is_in_the_upper_bin_and_one_just_below_it_is_not() -> None:
    tenths = [float(f"0.{digit}") for digit in range(10)] + [1.0]
    below = [float(np.nextafter(edge, 0)) for edge in tenths[1:]]
    is_fake = np.arange(len(tenths)) % 2 == 0
    quality = quality_from_scores(is_fake, np.array(tenths))
    assert [place.low for place in quality.reliability] == tenths[:-1]
    assert [place.high for place in quality.reliability] == tenths[1:]
    assert [place.count for place in quality.reliability] == [1] * 9 + [2]
    quality = quality_from_scores(is_fake[:-1], np.array(below))
    assert [place.count for place in quality.reliability] == [1] * 10


def test_a_certain_mistake_costs_a_finite_loss_and_a_certain_hit_none() -> None:
    wrong = quality_from_scores(np.array([True, False]), np.array([0.0, 1.0]))
    assert wrong.log_loss == pytest.approx(52 * math.log(2))
    right = quality_from_scores(np.array([True, False]), np.array([1.0, 0.0]))
    assert repr(right.log_loss) == "0.0"
    unlikely = quality_from_scores(np.array([True, False]), np.array([1e-15, 0.0]))
    assert unlikely.log_loss == pytest.approx(15 * math.log(10) / 2), "nothing above the resolution is clipped"


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", ["distinct", "tied"])
def test_order_does_not_matter_and_ranks_alone_do_where_they_should(kind: str, seed: int) -> None:
    is_fake, scores = drawn(kind, seed)
    order = np.random.default_rng(seed).permutation(len(scores))
    quality, shuffled = quality_from_scores(is_fake, scores), quality_from_scores(is_fake[order], scores[order])
    squeezed = quality_from_scores(is_fake, scores / 3)
    for other in (shuffled, squeezed):
        assert other.auc == quality.auc
        assert other.average_precision == quality.average_precision
        assert other.equal_error_rate == quality.equal_error_rate
        assert other.recalls == quality.recalls
    assert shuffled.log_loss == pytest.approx(quality.log_loss, rel=1e-12)
    assert shuffled.calibration_error == pytest.approx(quality.calibration_error, abs=1e-12)


def test_a_million_scores_take_little_memory() -> None:
    rng = np.random.default_rng(0)
    is_fake, scores = rng.random(10**6) < 0.6, rng.random(10**6)
    tracemalloc.start()
    quality_from_scores(is_fake, scores)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 150 * 10**6


@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        ([], [], "no scores"),
        ([True, False], [0.1, np.nan], "1 of 2 scores are NaN"),
        ([True, True], [0.1, 0.2], "2 fakes and 0 reals"),
        ([True, False], [0.1], "expected two vectors of one length"),
        ([True, False, True], [0.5, 1.5, -0.1], r"2 of 3 scores lie outside \[0, 1\], such as 1.5; .*sigmoid"),
        ([True, False], [0.1, 1.0000001], "1 of 2 scores lie outside"),
    ],
)
def test_unusable_scores_are_an_error_that_names_the_reason(
    labels: list[bool], scores: list[float], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        quality_from_scores(np.array(labels, bool), np.array(scores))
