"""Zeros chosen by cost against magnitude and chance, the share against its count, 2:4 against its pattern."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from calibration.weight_fitting import masked_least_squares
from pruning.zeros import CheapestZeros, cheapest, fixed, pattern_two_of_four, two_of_four


def problem(seed: int, outputs: int, columns: int) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(4 * columns, columns // 2)) @ rng.normal(size=(columns // 2, columns))
    rows = (rows + rng.normal(size=rows.shape)) * rng.lognormal(0, 0.7, columns)
    covariance = torch.from_numpy(np.cov(rows.T)).unsqueeze(0)
    covariance[0].diagonal().add_(0.03 * covariance[0].diagonal().mean())
    return torch.from_numpy(rng.normal(size=(1, outputs, columns))), covariance


def error(candidate: torch.Tensor, weight: torch.Tensor, covariance: torch.Tensor) -> float:
    lack = (candidate - weight)[0].numpy()
    return float(np.einsum("ok,kl,ol->", lack, covariance[0].numpy(), lack))


@pytest.mark.parametrize("share", [0.3, 0.5, 0.8])
@pytest.mark.parametrize("seed", range(4))
def test_cheapest_zeros_cost_less_than_the_smallest_weights(seed: int, share: float) -> None:
    weight, covariance = problem(seed, 40, 200)
    found = CheapestZeros(weight, covariance).zeroed(share)
    assert float((found == 0).double().mean()) == pytest.approx(share, abs=1e-3)
    smallest = weight.abs() > weight.abs().flatten().kthvalue(int(share * weight.numel())).values
    rivals = {
        "smallest": masked_least_squares(weight, smallest, covariance),
        "random": masked_least_squares(
            weight, torch.rand(weight.shape, generator=torch.Generator().manual_seed(seed)) >= share, covariance
        ),
    }
    own = error(masked_least_squares(weight, found != 0, covariance), weight, covariance)
    assert own <= error(found, weight, covariance) * (1 + 1e-6)
    assert own < 0.8 * error(rivals["smallest"], weight, covariance)
    assert own < 0.5 * error(rivals["random"], weight, covariance)


def test_uncorrelated_inputs_leave_the_others_alone() -> None:
    """Without correlation nothing can compensate, and the cost is the classic w^2 times the variance."""
    rng = np.random.default_rng(0)
    weight = torch.from_numpy(rng.normal(size=(1, 8, 100)))
    variance = torch.from_numpy(rng.uniform(0.1, 4, 100))
    found = CheapestZeros(weight, torch.diag(variance).unsqueeze(0)).zeroed(0.4)
    cost = (weight.square() * variance).flatten()
    expected = torch.where(weight.square() * variance > cost.kthvalue(320).values, weight, 0.0)
    torch.testing.assert_close(found, expected)


def test_groups_lose_weights_where_they_cost_least() -> None:
    weight = torch.stack([torch.ones(3, 8), 9 * torch.ones(3, 8)]).double()
    covariance = torch.eye(8, dtype=torch.float64).expand(2, 8, 8)
    found = CheapestZeros(weight, covariance).zeroed(0.5)
    assert not found[0].any()
    assert torch.equal(found[1], weight[1])


def test_no_share_is_no_zero() -> None:
    weight, covariance = problem(1, 5, 20)
    assert torch.equal(CheapestZeros(weight, covariance).zeroed(0.0), weight)


@pytest.mark.parametrize("columns", [8, 64, 132])
def test_two_of_four_has_its_pattern_and_beats_magnitude(columns: int) -> None:
    weight, covariance = problem(columns, 30, columns)
    found = two_of_four(weight, covariance)
    zeros = (found == 0).reshape(30, -1, 4).sum(dim=2)
    assert (zeros == 2).all()
    runs = weight.abs().reshape(1, 30, -1, 4)
    largest = (runs >= runs.sort(dim=3).values[..., 2:3]).reshape(weight.shape)
    rival = masked_least_squares(weight, largest, covariance)
    own = masked_least_squares(weight, pattern_two_of_four(weight, covariance), covariance)
    assert error(own, weight, covariance) < error(rival, weight, covariance)


def test_choices_are_masks() -> None:
    weight, covariance = problem(2, 6, 24)
    kept = cheapest(0.5)(weight, covariance)
    assert kept.dtype == torch.bool
    assert int(kept.sum()) == 72
    columns = torch.arange(24) % 3 > 0
    assert torch.equal(fixed(columns.view(1, 1, -1))(weight, covariance)[0, 4], columns)
