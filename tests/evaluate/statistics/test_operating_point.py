from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, confusion_matrix, roc_auc_score, roc_curve
from statsmodels.stats.proportion import proportion_confint

from evaluate.metrics import ConfusionCounts
from evaluate.statistics.clustered_count import clustered_count
from evaluate.statistics.operating_point import fitted_threshold, operating_point
from evaluate.statistics.proportion import proportion
from export.errors import DataError
from tests.evaluate.statistics.drawn_scores import KINDS, SEEDS, drawn


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", KINDS)
def test_decisions_are_those_of_scikit_learn(kind: str, seed: int) -> None:
    is_fake, scores = drawn(kind, seed)
    for threshold in (0.5, float(scores[0]), 0.0, 1.01):
        point = operating_point("frozen", threshold, is_fake, scores, np.arange(is_fake.size))
        tn, fp, fn, tp = confusion_matrix(is_fake, scores >= threshold, labels=[False, True]).ravel()
        assert (point.origin, point.threshold) == ("frozen", threshold)
        assert point.confusion == ConfusionCounts(tp=tp, tn=tn, fp=fp, fn=fn)
        assert (point.missed_fakes.count, point.missed_fakes.total) == (fn, np.sum(is_fake))
        assert (point.false_alarms.count, point.false_alarms.total) == (fp, np.sum(~is_fake))
        low, high = proportion_confint(fp, np.sum(~is_fake), method="wilson")
        assert (point.false_alarms.interval.low, point.false_alarms.interval.high) == pytest.approx((low, high))


@pytest.mark.parametrize("seed", SEEDS)
def test_errors_of_a_class_count_by_its_clusters(seed: int) -> None:
    is_fake, scores = drawn("tied", seed)
    clusters = np.random.default_rng(seed).integers(0, 12, is_fake.size)
    point = operating_point("frozen", 3 / 7, is_fake, scores, clusters)
    missed = clustered_count(scores[is_fake] < 3 / 7, scores[is_fake], clusters[is_fake])
    alarms = clustered_count(scores[~is_fake] >= 3 / 7, -scores[~is_fake], clusters[~is_fake])
    for found, expected in ((point.missed_fakes, proportion(missed)), (point.false_alarms, proportion(alarms))):
        assert (found.interval.low, found.interval.high) == pytest.approx(
            (expected.interval.low, expected.interval.high), rel=1e-9
        )
    assert (point.confusion.fn, point.confusion.fp) == (missed.count, alarms.count)


def test_a_class_that_is_not_there_has_a_rate_of_nothing() -> None:
    point = operating_point("default", 0.5, np.array([True, True]), np.array([0.5, 0.1]), np.arange(2))
    assert (point.missed_fakes.count, point.missed_fakes.total) == (1, 2)
    assert (point.false_alarms.count, point.false_alarms.total, point.false_alarms.interval.width) == (0, 0, 1.0)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", ["distinct", "tied", "certain", "one fake", "one real", "separable"])
def test_no_threshold_beats_the_fitted_one(kind: str, seed: int) -> None:
    is_fake, scores = drawn(kind, seed)
    false_alarms, found, thresholds = roc_curve(is_fake, scores, drop_intermediate=False)
    best = np.max(found - false_alarms)
    if best == 0:
        # The one fake scores below every real, or the one real above every fake.
        with pytest.raises(DataError, match="better than chance"):
            fitted_threshold(is_fake, scores)
        return
    fitted = fitted_threshold(is_fake, scores)
    reached = 2 * balanced_accuracy_score(is_fake, scores >= fitted) - 1
    assert reached == pytest.approx(best, abs=1e-12)
    # Midway between the scores beside it, and the lower middle of those that do equally well.
    above, below = scores[scores >= fitted].min(), scores[scores < fitted].max()
    assert fitted == pytest.approx((above + below) / 2, abs=1e-15)
    equals = np.sort(thresholds[np.isclose(found - false_alarms, best, atol=1e-12)])
    assert above == equals[(len(equals) - 1) // 2]


@pytest.mark.parametrize("seed", SEEDS)
def test_fitted_threshold_follows_the_scores(seed: int) -> None:
    is_fake, scores = drawn("distinct", seed)
    fitted = fitted_threshold(is_fake, scores)
    assert fitted_threshold(is_fake, 8 * scores - 2) == pytest.approx(8 * fitted - 2, abs=1e-12)
    order = np.random.default_rng(seed).permutation(len(scores))
    assert fitted_threshold(is_fake[order], scores[order]) == fitted


def test_of_equally_good_thresholds_the_middle_one_is_taken() -> None:
    three = np.array([0.1, 0.2, 0.4, 0.6, 0.8, 0.9])
    labels = np.array([False, True, False, True, False, True])
    assert fitted_threshold(labels, three) == pytest.approx(0.5)
    assert fitted_threshold(labels[:4], three[:4]) == pytest.approx(0.15), "the lower of two misses fewer fakes"


def test_between_adjacent_numbers_the_upper_one_decides() -> None:
    real = 0.5
    for _ in range(4):
        fake = float(np.nextafter(real, 1))
        fitted = fitted_threshold(np.array([True, False]), np.array([fake, real]))
        assert real < fitted <= fake
        real = fake


@pytest.mark.parametrize("kind", ["constant", "reversed"])
def test_a_threshold_no_better_than_chance_is_refused(kind: str) -> None:
    is_fake, scores = drawn("constant" if kind == "constant" else "separable", 0)
    scores = scores if kind == "constant" else 1 - scores
    assert roc_auc_score(is_fake, scores) <= 0.5
    with pytest.raises(DataError, match=r"no threshold between the scores of .* decides better than chance; check"):
        fitted_threshold(is_fake, scores)


def test_a_threshold_exactly_as_good_as_chance_is_refused() -> None:
    with pytest.raises(DataError, match="better than chance"):
        fitted_threshold(np.array([True, False, True, False]), np.array([0.9, 0.9, 0.1, 0.1]))


@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        ([], [], "no scores"),
        ([True, False], [0.1, np.nan], "1 of 2 scores are NaN"),
        ([True, True], [0.1, 0.2], "2 fakes and 0 reals"),
        ([True, False], [0.1], "expected two vectors of one length"),
    ],
)
def test_unusable_scores_are_an_error_that_names_the_reason(
    labels: list[bool], scores: list[float], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        fitted_threshold(np.array(labels, bool), np.array(scores))


@pytest.mark.parametrize("threshold", [float("nan"), float("inf")])
def test_a_threshold_that_is_no_score_is_refused(threshold: float) -> None:
    with pytest.raises(DataError, match=f"the threshold is {threshold}; expected a finite score"):
        operating_point("default", threshold, np.array([True, False]), np.array([0.5, 0.1]), np.arange(2))
