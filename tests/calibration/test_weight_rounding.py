"""Moments against NumPy, the refit against scikit-learn, rounding against the textbook form of its algorithm."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from calibration.weight_fitting import Moments, MomentSums, refitted
from calibration.weight_rounding import rounded_with_compensation, scales_of


def correlated_rows(seed: int, count: int, columns: int, offset: float = 0.0) -> torch.Tensor:
    """Rows whose columns share a few causes, as channels of a network do."""
    rng = np.random.default_rng(seed)
    causes = rng.normal(size=(count, max(2, columns // 3)))
    mixed = causes @ rng.normal(size=(causes.shape[1], columns)) + 0.2 * rng.normal(size=(count, columns))
    return torch.from_numpy((mixed + offset).astype(np.float32))


def sums_of(parts: list[tuple[torch.Tensor, torch.Tensor]]) -> MomentSums:
    sums = MomentSums(parts[0][0].double().mean(0, keepdim=True))
    for disturbed, undisturbed in parts:
        sums.update(disturbed.unsqueeze(0), undisturbed.unsqueeze(0))
    return sums


def damped(parts: list[tuple[torch.Tensor, torch.Tensor]], ridge: float) -> Moments:
    moments = sums_of(parts).moments()
    moments.damp(ridge)
    return moments


@pytest.mark.parametrize("seed", range(3))
def test_moments_are_numpys_covariances_however_the_rows_arrive(seed: int) -> None:
    undisturbed = correlated_rows(seed, 300, 7, offset=40.0)
    disturbed = undisturbed + 0.1 * correlated_rows(seed + 10, 300, 7)
    moments = sums_of([(disturbed[:17], undisturbed[:17]), (disturbed[17:], undisturbed[17:])]).moments()
    both = np.cov(np.hstack([disturbed.numpy(), (undisturbed - disturbed).numpy()]).T.astype(np.float64), bias=True)
    np.testing.assert_allclose(moments.disturbed[0].numpy(), both[:7, :7], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(moments.lost[0].numpy(), both[:7, 7:], rtol=1e-4, atol=1e-4)


def test_moments_of_nothing_are_an_error() -> None:
    with pytest.raises(ValueError, match="no rows"):
        MomentSums(torch.zeros(1, 3)).moments()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("ridge", [0.01, 0.3])
def test_refit_is_scikit_learns_ridge_regression_of_what_is_lost(seed: int, ridge: float) -> None:
    count, columns, outputs = 400, 9, 4
    undisturbed = correlated_rows(seed, count, columns, offset=1.0).double()
    disturbed = (undisturbed * 2).round() / 2
    weight = torch.from_numpy(np.random.default_rng(seed).normal(size=(outputs, columns)))
    parts = [(disturbed.float(), undisturbed.float())]
    found = refitted(weight.unsqueeze(0), damped(parts, ridge))[0]
    strength = ridge * float(np.var(disturbed.numpy(), axis=0).mean()) * count
    lost = ((undisturbed - disturbed) @ weight.T).numpy()
    expected = weight.numpy() + Ridge(alpha=strength).fit(disturbed.numpy(), lost).coef_
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-3, atol=1e-5)


def test_channels_that_are_all_noise_are_given_up_for_those_that_tell_the_same() -> None:
    signal = correlated_rows(0, 2000, 1).double()
    noise = torch.from_numpy(np.random.default_rng(1).normal(size=(2000, 1))) * 5
    undisturbed = torch.cat([signal, signal], 1)
    disturbed = torch.cat([signal, signal + noise], 1)
    moments = damped([(disturbed.float(), undisturbed.float())], 1e-4)
    found = refitted(torch.tensor([[[0.0, 1.0]]], dtype=torch.float64), moments)[0, 0]
    assert found[0] == pytest.approx(1.0, abs=0.02)
    assert found[1] == pytest.approx(0.0, abs=0.02)


def test_undisturbed_input_leaves_the_weight_alone() -> None:
    rows = correlated_rows(4, 50, 6)
    weight = torch.randn(1, 3, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert torch.equal(refitted(weight, damped([(rows, rows)], 0.1)), weight)


def textbook_rounding(weight: np.ndarray, scale: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Optimal Brain Quantization as Frantar and Alistarh state it, the inverse updated after each column."""
    left, steps = weight.copy(), np.zeros_like(weight)
    inverse, remaining = np.linalg.inv(covariance), list(np.argsort(-np.diag(covariance), kind="stable"))
    while remaining:
        column = remaining.pop(0)
        steps[:, column] = np.clip(np.rint(left[:, column] / scale), -127, 127)
        error = (left[:, column] - steps[:, column] * scale) / inverse[column, column]
        left[:, remaining] -= np.outer(error, inverse[column, remaining])
        inverse = inverse - np.outer(inverse[:, column], inverse[column]) / inverse[column, column]
    return steps


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("columns", [5, 64, 150])
def test_rounding_is_the_textbooks(seed: int, columns: int) -> None:
    rows = correlated_rows(seed, 600, columns)
    weight = torch.from_numpy(np.random.default_rng(seed).normal(size=(1, 8, columns)))
    covariance = damped([(rows, rows)], 0.05).disturbed
    scale = 8 * scales_of(weight)  # coarse, so that many columns matter
    found = rounded_with_compensation(weight, scale, covariance)[0].numpy()
    expected = textbook_rounding(weight[0].numpy(), scale[0].numpy(), covariance[0].numpy())
    assert np.mean(found != expected) < 0.01  # a value may lie on a rounding boundary


@pytest.mark.parametrize("seed", range(5))
def test_rounding_errs_less_than_the_nearest_step_on_other_rows(seed: int) -> None:
    fitted, fresh = correlated_rows(seed, 4000, 40).double().split(2000)
    weight = torch.from_numpy(np.random.default_rng(seed).normal(size=(1, 16, 40)))
    scale = 16 * scales_of(weight)
    covariance = damped([(fitted.float(), fitted.float())], 0.1).disturbed
    compensated = rounded_with_compensation(weight, scale, covariance) * scale.unsqueeze(2)
    nearest = torch.round(weight / scale.unsqueeze(2)) * scale.unsqueeze(2)
    centred = fresh - fitted.mean(0)
    errors = [float(((restored - weight)[0] @ centred.T).square().sum()) for restored in (compensated, nearest)]
    assert errors[0] < 0.5 * errors[1]


@pytest.mark.parametrize("seed", range(3))
def test_rounding_of_two_columns_is_near_the_best_there_is(seed: int) -> None:
    rows = correlated_rows(seed, 500, 2)
    weight = torch.from_numpy(np.random.default_rng(seed).normal(size=(1, 6, 2)))
    scale = 30 * scales_of(weight)
    covariance = damped([(rows, rows)], 0.01).disturbed
    found = rounded_with_compensation(weight, scale, covariance)

    def error(steps: torch.Tensor, output: int) -> float:
        lack = steps * scale[0, output] - weight[0, output]
        return float(lack @ covariance[0] @ lack)

    grid = [torch.tensor(pair, dtype=torch.float64) for pair in itertools.product(range(-9, 10), repeat=2)]
    for output in range(6):
        best = min(error(steps, output) for steps in grid)
        nearest = error(torch.round(weight[0, output] / scale[0, output]), output)
        assert error(found[0, output], output) <= max(nearest, best) + 1e-12


def test_groups_are_rounded_by_themselves() -> None:
    generator = torch.Generator().manual_seed(3)
    weight = torch.randn(3, 2, 9, dtype=torch.float64, generator=generator)
    covariance = torch.stack(
        [damped([(rows, rows)], 0.1).disturbed[0] for rows in correlated_rows(0, 900, 9).split(300)]
    )
    scale = 20 * scales_of(weight)
    together = rounded_with_compensation(weight, scale, covariance)
    for group in range(3):
        alone = rounded_with_compensation(weight[group, None], scale[group, None], covariance[group, None])
        assert torch.equal(together[group], alone[0])


def test_dead_and_constant_inputs_break_nothing() -> None:
    """A channel that never moves has no variance, and one of 16 images has hardly any rows."""
    rows = torch.zeros(20, 30)
    rows[:, 0] = 5.0
    weight = torch.randn(1, 4, 30, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    moments = damped([(rows, rows + 0.25)], 0.1)
    refit = refitted(weight, moments)
    steps = rounded_with_compensation(refit, scales_of(refit), moments.disturbed)
    np.testing.assert_allclose(refit.numpy(), weight.numpy(), atol=1e-6)
    assert torch.isfinite(steps).all()
    assert steps.abs().max() == 127


@pytest.mark.parametrize("seed", range(3))
def test_zeros_stay_zero(seed: int) -> None:
    rng = np.random.default_rng(seed)
    weight = torch.from_numpy(rng.normal(size=(2, 7, 90)) * (rng.random((2, 7, 90)) < 0.5))
    rows = rng.normal(size=(2, 300, 90)) @ rng.normal(size=(2, 90, 90))
    covariance = torch.from_numpy(np.stack([np.cov(group.T) for group in rows]))
    steps = rounded_with_compensation(weight, scales_of(weight), covariance)
    assert not steps[weight == 0].any()
    assert steps[weight != 0].any()
