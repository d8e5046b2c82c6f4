"""Reconstruction against least squares."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from calibration.weight_fitting import masked_least_squares


def covariance_of(seed: int, columns: int) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(400, columns // 3)) @ rng.normal(size=(columns // 3, columns))
    return torch.from_numpy(np.cov((rows + 0.3 * rng.normal(size=rows.shape)).T)).unsqueeze(0)


def least_squares(weight: np.ndarray, kept: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """The best there is: each output solves its own normal equations over the columns that it keeps."""
    best = np.zeros_like(weight)
    for output, mask in enumerate(kept):
        wanted = covariance[mask] @ weight[output]
        best[output, mask] = np.linalg.solve(covariance[np.ix_(mask, mask)], wanted)
    return best


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("columns", [12, 90])
def test_weights_that_are_left_are_the_least_squares_solution(seed: int, columns: int) -> None:
    rng = np.random.default_rng(seed)
    covariance = covariance_of(seed, columns)
    weight = torch.from_numpy(rng.normal(size=(1, 40, columns)))
    kept = weight.abs() > weight.abs().median()
    found = masked_least_squares(weight, kept, covariance)
    assert not found[~kept].any()

    def error(candidate: np.ndarray) -> float:
        lack = candidate - weight[0].numpy()
        return float(np.einsum("ok,kl,ol->", lack, covariance[0].numpy(), lack))

    best = error(least_squares(weight[0].numpy(), kept[0].numpy(), covariance[0].numpy()))
    plain = error((weight * kept)[0].numpy())
    assert best <= error(found[0].numpy()) * (1 + 1e-9)
    assert error(found[0].numpy()) < best + 0.01 * (plain - best)


@pytest.mark.parametrize("groups", [2, 7])
def test_groups_are_solved_by_themselves(groups: int) -> None:
    generator = torch.Generator().manual_seed(groups)
    covariance = torch.cat([covariance_of(seed, 9) for seed in range(groups)])
    weight = torch.randn(groups, 3, 9, dtype=torch.float64, generator=generator)
    kept = torch.rand(groups, 3, 9, generator=generator) < 0.5
    found = masked_least_squares(weight, kept, covariance)
    for group in range(groups):
        best = least_squares(weight[group].numpy(), kept[group].numpy(), covariance[group].numpy())
        np.testing.assert_allclose(found[group].numpy(), best, atol=0.05)


def test_output_without_any_weight_left_is_zero() -> None:
    weight = torch.ones(1, 2, 6, dtype=torch.float64)
    kept = torch.zeros(1, 2, 6, dtype=torch.bool)
    kept[0, 1] = True
    found = masked_least_squares(weight, kept, covariance_of(1, 6))
    assert torch.equal(found[0, 0], torch.zeros(6, dtype=torch.float64))
    assert torch.equal(found[0, 1], weight[0, 1])


def test_nothing_forbidden_changes_nothing() -> None:
    weight = torch.randn(1, 4, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    kept = torch.ones(1, 4, 9, dtype=torch.bool)
    assert torch.equal(masked_least_squares(weight, kept, covariance_of(0, 9)), weight)
