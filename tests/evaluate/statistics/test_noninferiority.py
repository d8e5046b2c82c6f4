"""Verdicts against a margin: Holm against statsmodels, bounds and p-values as each other's inverse, planted losses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy.stats import binom, norm
from statsmodels.stats.multitest import multipletests

from evaluate.statistics.auc_interval import auc_differences
from evaluate.statistics.difference_bounds import (
    POWER,
    AgreedBounds,
    DifferenceBounds,
    StudentBounds,
    UnknownBounds,
    UnseenBounds,
)
from evaluate.statistics.noninferiority import NonInferiority, _levels, holm, noninferiority_of_all
from export.errors import DataError
from tests.evaluate.statistics.drawn_scores import SEEDS
from tests.evaluate.statistics.persons import Persons

if TYPE_CHECKING:
    from collections.abc import Sequence

PERSONS = Persons(count=40, fakes=8, reals=3, others=70, distance=2.4, shared=0.3, noise=0.05)
BOUNDS: list[DifferenceBounds] = [
    StudentBounds(-0.004, 0.003),
    StudentBounds(0.01, 0.004, 7),
    UnseenBounds(0.0, 0.2, 40),
    AgreedBounds((StudentBounds(-0.004, 0.003), UnseenBounds(0.0, 0.2, 40))),
]


def verdicts(
    scores: Sequence[Sequence[float]], baseline: Sequence[float], margin: float = 0.005
) -> list[NonInferiority]:
    rows = np.array(scores)
    margins = [margin] * len(rows)
    return list(noninferiority_of_all(PERSONS.is_fake, rows, np.array(baseline), PERSONS.clusters, margins))


@pytest.mark.parametrize("seed", SEEDS)
def test_holm_is_statsmodels(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for count in (1, 2, 5, 8):
        p_values = np.round(rng.random(count) ** 3, 2)
        rejected, expected, _, _ = multipletests(p_values, 0.05, "holm")
        assert holm(p_values.tolist()) == pytest.approx(expected.tolist())
        levels = _levels(p_values.tolist(), 0.05)
        assert [p_value <= level for p_value, level in zip(p_values, levels, strict=True)] == rejected.tolist()
    assert holm([]) == ()


@pytest.mark.parametrize("bounds", BOUNDS)
def test_a_p_value_is_the_level_whose_bound_it_is(bounds: DifferenceBounds) -> None:
    for alpha in (0.3, 0.05, 0.01, 0.001):
        assert bounds.p_value(bounds.lower(alpha)) == pytest.approx(alpha)
        assert bounds.mirrored().mirrored().lower(alpha) == pytest.approx(bounds.lower(alpha))
        assert bounds.lower(alpha) < -bounds.mirrored().lower(alpha)


def test_what_is_unknown_is_never_decided() -> None:
    unknown = UnknownBounds()
    assert (unknown.lower(0.4), unknown.mirrored().lower(0.4), unknown.p_value(-0.99)) == (-1, -1, 1)
    assert unknown.times_the_videos(0.9, 0.05) == float("inf")


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("difference", [-0.012, -0.004, 0.002])
def test_that_many_videos_decide_in_four_of_five_test_sets(difference: float, seed: int) -> None:
    """Differences of larger sets are drawn around what was measured, with the error that they would have."""
    margin, alpha, error, sets = 0.005, 0.0125, 0.006, 20_000
    measured = StudentBounds(difference, error)
    if difference < -margin:
        measured, towards = measured.mirrored(), -margin - difference
    else:
        towards = difference + margin
    shrunk = error / measured.times_the_videos(towards, alpha) ** 0.5
    drawn = np.random.default_rng(seed).normal(measured.difference, shrunk, sets)
    decided = sum(drawn - norm.ppf(1 - alpha) * shrunk > measured.difference - towards)
    assert binom.ppf(1e-6, sets, POWER) <= decided <= binom.ppf(1 - 1e-6, sets, POWER)


def test_that_many_unchanged_videos_bound_what_is_unseen() -> None:
    unseen = UnseenBounds(0.0, 0.2, 40)
    times = unseen.times_the_videos(0.005, 0.05)
    assert UnseenBounds(0.0, 0.2, round(40 * times)).lower(0.05) == pytest.approx(-0.005, rel=0.01)
    assert unseen.times_the_videos(0.3, 0.05) == 0


@pytest.mark.parametrize("seed", SEEDS)
def test_planted_variants_get_the_grade_that_they_earn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    (baseline,), is_fake = PERSONS.drawn(rng, 0), PERSONS.is_fake
    planted = {
        "identical": baseline,
        "rescaled": 3 * baseline - 7,
        "rounded": np.round(baseline, 4),
        "worse": baseline - 1.5 * is_fake,
        "swapped": -baseline,
        "noise": rng.normal(size=baseline.size),
        "doubtful": baseline - 0.3 * is_fake + rng.normal(0, 0.45, baseline.size),
    }
    graded = dict(zip(planted, verdicts(list(planted.values()), baseline), strict=True))
    expected = dict.fromkeys(planted, "FAIL") | dict.fromkeys(("identical", "rescaled", "rounded"), "PASS")
    doubtful = graded.pop("doubtful")
    assert {name: verdict.grade for name, verdict in graded.items()} == {
        name: grade for name, grade in expected.items() if name != "doubtful"
    }
    for name, verdict in graded.items():
        assert verdict.videos_needed is None
        assert (verdict.p_value <= 0.05) == (expected[name] == "PASS")
    assert (graded["identical"].lower, graded["identical"].upper, graded["identical"].p_value) == (0, 0, 0)
    # Its standard error is about 0.007, so that a margin as near to the measured loss is neither kept nor missed.
    (again,) = verdicts([planted["doubtful"].tolist()], baseline, 0.002 - doubtful.difference)
    assert again.grade == "INCONCLUSIVE"
    assert again.videos_needed is not None
    assert again.videos_needed > is_fake.size


@pytest.mark.parametrize("margin", [1e-9, 0.005, 0.5])
def test_identical_scores_pass_any_margin(margin: float) -> None:
    tiny = np.array([True, False, False])
    scores = np.array([0.5, 0.4, 0.6])
    (verdict,) = noninferiority_of_all(tiny, scores[np.newaxis], scores, ["a", "a", "a"], [margin])
    assert verdict == NonInferiority("PASS", margin, 0, 0, 0, 0, None)


def test_a_tiny_set_is_inconclusive_even_where_both_are_perfect() -> None:
    is_fake, rng = np.arange(10) < 5, np.random.default_rng(0)
    scores, variant = is_fake + rng.random((2, 10)) / 2
    names = [str(video) for video in range(10)]
    (verdict,) = noninferiority_of_all(is_fake, variant[np.newaxis], scores, names, [0.005])
    assert (verdict.grade, verdict.difference) == ("INCONCLUSIVE", 0)
    assert verdict.videos_needed is not None
    assert verdict.videos_needed > 100


def test_a_single_person_with_fakes_decides_nothing() -> None:
    is_fake = np.arange(30) < 15
    scores = is_fake + np.random.default_rng(0).random((2, 30))
    (verdict,) = noninferiority_of_all(is_fake, scores[1:], scores[0], ["a"] * 15 + list("bcdefghijklmnop"), [0.3])
    assert (verdict.grade, verdict.lower, verdict.upper, verdict.videos_needed) == ("INCONCLUSIVE", -1, 1, None)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_less_favourable_method_counts_and_holm_leaves_less_for_more(seed: int) -> None:
    baseline, *rows = PERSONS.drawn(np.random.default_rng(seed), 4)
    (alone,) = verdicts(rows[:1], baseline)
    (difference,) = auc_differences(PERSONS.is_fake, np.array(rows[:1]), baseline, PERSONS.clusters, confidence=0.9)
    assert alone.lower == pytest.approx(min(difference.delong.low, difference.bootstrap.low))
    assert alone.upper == pytest.approx(max(difference.delong.high, difference.bootstrap.high))
    several = verdicts(rows, baseline)
    assert several[0].lower <= alone.lower
    assert several[0].p_value >= alone.p_value
    for verdict in several:
        assert (verdict.grade == "PASS") == (verdict.lower > -verdict.margin) == (verdict.p_value <= 0.05)
    order = [2, 0, 3, 1]
    assert verdicts([rows[row] for row in order], baseline) == [several[row] for row in order]


def test_every_variant_has_its_own_margin() -> None:
    baseline, row = PERSONS.drawn(np.random.default_rng(0))
    worse = row - 0.3 * PERSONS.is_fake
    rows, margins = np.stack([worse, worse]), [0.2, 0.001]
    strict = noninferiority_of_all(PERSONS.is_fake, rows, baseline, PERSONS.clusters, margins)
    assert [verdict.grade for verdict in strict] == ["PASS", "FAIL"]
    assert [verdict.margin for verdict in strict] == margins


@pytest.mark.parametrize("margin", [0.0, -0.005, 1.0, float("nan"), float("inf")])
def test_what_is_no_margin_is_refused(margin: float) -> None:
    baseline, row = PERSONS.drawn(np.random.default_rng(0))
    with pytest.raises(DataError, match="expected the largest acceptable loss of AUC"):
        noninferiority_of_all(PERSONS.is_fake, row[np.newaxis], baseline, PERSONS.clusters, [margin])


def test_bad_input_is_refused() -> None:
    baseline, row = PERSONS.drawn(np.random.default_rng(0))
    arguments = (PERSONS.is_fake, row[np.newaxis], baseline)
    with pytest.raises(DataError, match="2 margins for 1 variants"):
        noninferiority_of_all(*arguments, PERSONS.clusters, [0.1, 0.1])
    with pytest.raises(DataError, match="1 clusters for 510 videos"):
        noninferiority_of_all(*arguments, ["a"], [0.1])
    with pytest.raises(DataError, match="confidence of 95"):
        noninferiority_of_all(*arguments, PERSONS.clusters, [0.1], confidence=95)
    with pytest.raises(DataError, match="an AUC needs both classes"):
        noninferiority_of_all(np.ones(510, np.bool_), *arguments[1:], PERSONS.clusters, [0.1])
