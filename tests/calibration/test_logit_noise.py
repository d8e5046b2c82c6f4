from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from calibration.logit_noise import (
    MAX_FLIP_SHARE,
    expected_auc_drop,
    expected_flips,
    noise_in_db,
    power_from_db,
    sqnr_db,
    sqnr_for_auc,
    sqnr_for_decisions,
    within_class_variance,
)


def two_classes(
    rng: np.random.Generator, count: int, separation: float, centre: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    is_fake = np.arange(count) % 2 == 0
    return rng.standard_normal(count) + separation * (is_fake - 0.5) + centre, is_fake


@pytest.mark.parametrize("separation", [0.5, 1.5, 3.0])
@pytest.mark.parametrize("noise", [0.05, 0.3, 1.0])
def test_auc_drop_is_that_of_simulated_detectors(separation: float, noise: float) -> None:
    rng = np.random.default_rng(0)
    logits, is_fake = two_classes(rng, 400_000, separation)
    before = roc_auc_score(is_fake, logits)
    after = roc_auc_score(is_fake, logits + np.sqrt(noise) * rng.standard_normal(len(logits)))
    # Three standard deviations of the difference between two AUCs of as many images.
    assert expected_auc_drop(before, noise) == pytest.approx(before - after, abs=1.5e-3)


def test_figure_that_the_documentation_gives() -> None:
    """At 19 dB a binormal detector of AUC .955 loses .001."""
    assert expected_auc_drop(0.955, 10**-1.9) == pytest.approx(0.001, abs=1e-4)
    assert sqnr_for_auc(0.955, 0.001) == pytest.approx(19, abs=0.5)


@pytest.mark.parametrize("sqnr", [12, 20, 30])
@pytest.mark.parametrize("centre", [0.0, 1.0])
def test_flips_are_those_of_many_noisy_logits(sqnr: float, centre: float) -> None:
    """The estimate sees 800 logits, the simulation a million others."""
    rng = np.random.default_rng(1)
    power = power_from_db(1.0, sqnr)
    estimated = np.mean([expected_flips(two_classes(rng, 800, 2, centre)[0], power) for _ in range(10)])
    logits, _ = two_classes(rng, 1_000_000, 2, centre)
    noisy = logits + np.sqrt(power) * rng.standard_normal(len(logits))
    assert estimated == pytest.approx(np.mean((noisy >= 0) != (logits >= 0)), rel=0.15)


def test_flips_of_degenerate_logits() -> None:
    assert expected_flips(np.full(8, 2.0), 1.0) == 0.0
    assert expected_flips(np.zeros(8), 1.0) == 0.5
    assert expected_flips(np.random.default_rng(0).standard_normal(50), 1e9) == 0.5


@given(st.floats(0.55, 0.999), st.floats(1e-4, 0.2), st.floats(1.1, 5))
def test_required_sqnr_falls_with_what_is_tolerated(auc: float, drop: float, factor: float) -> None:
    strict, loose = sqnr_for_auc(auc, drop), sqnr_for_auc(auc, min(drop * factor, 0.49))
    assert loose <= strict + 2e-3
    if 0 < strict < 80:
        assert expected_auc_drop(auc, 10 ** (-strict / 10)) == pytest.approx(drop, rel=2e-3)


def test_decisions_near_the_threshold_require_more() -> None:
    rng = np.random.default_rng(2)
    logits, is_fake = two_classes(rng, 800, 3)
    required = [sqnr_for_decisions(logits + centre, is_fake) for centre in (1.5, 3.0, 6.0)]
    assert required == sorted(required, reverse=True)
    # The decisions that noise of just that power reverses, in a simulation.
    power = power_from_db(within_class_variance(logits, is_fake), sqnr_for_decisions(logits, is_fake))
    many, _ = two_classes(rng, 1_000_000, 3)
    noisy = many + np.sqrt(power) * rng.standard_normal(len(many))
    assert np.mean((noisy >= 0) != (many >= 0)) == pytest.approx(MAX_FLIP_SHARE, rel=0.25)


@given(st.floats(1e-3, 1e3), st.floats(-60, 60))
def test_decibels_and_powers_are_inverse(variance: float, sqnr: float) -> None:
    assert noise_in_db(variance, power_from_db(variance, sqnr)) == pytest.approx(sqnr, abs=1e-9)


def test_sqnr_in_closed_form() -> None:
    assert sqnr_db(4.0, np.array([0.2, -0.2])) == pytest.approx(20)
    assert sqnr_db(1.0, np.array([1.0, -1.0, 1.0])) == pytest.approx(0)
    assert sqnr_db(1.0, np.zeros(3)) == pytest.approx(120)
    assert sqnr_db(0.0, np.ones(3)) == pytest.approx(-120)
    # An offset counts as an error.
    assert sqnr_db(1.0, np.full(5, 0.1)) == pytest.approx(20)


@pytest.mark.parametrize("fakes", [0, 1, 13, 40])
def test_within_class_variance_is_the_pooled_one(fakes: int) -> None:
    rng = np.random.default_rng(3)
    is_fake = np.arange(40) < fakes
    logits = rng.standard_normal(40) + 7 * is_fake
    parts = [logits[is_fake == label] for label in (False, True)]
    expected = sum(len(part) * np.var(part) for part in parts if len(part)) / 40
    assert within_class_variance(logits, is_fake) == pytest.approx(expected)


def test_no_number_is_as_far_off_as_can_be() -> None:
    """A detector that gives NaN must never count as perfect."""
    assert sqnr_db(1.0, np.array([0.0, np.nan])) == -120
    assert sqnr_db(1.0, np.array([0.0, np.inf])) == -120
    assert sqnr_db(1.0, np.zeros(2)) == 120
