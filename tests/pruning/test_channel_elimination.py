"""Backward elimination against dense least squares."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pruning.channel_elimination import eliminated


def problem(seed: int, channels: int, outputs: int = 5) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(500, channels)) @ rng.normal(size=(channels, channels))
    return rng.normal(size=(outputs, channels)), np.cov(rows.T) + 0.01 * np.eye(channels)


def error_without(weight: np.ndarray, covariance: np.ndarray, gone: list[int], run: int = 1) -> float:
    """Squared error of the best weights that do not use some channels, by the normal equations."""
    left = [column for column in range(weight.shape[1]) if column // run not in gone]
    best = np.zeros_like(weight)
    best[:, left] = np.linalg.solve(covariance[np.ix_(left, left)], covariance[left] @ weight.T).T
    return float(np.einsum("ok,kl,ol->", best - weight, covariance, best - weight))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("channels", "run"), [(7, 1), (30, 1), (6, 4), (5, 9)])
def test_each_step_removes_the_channel_that_costs_least(seed: int, channels: int, run: int) -> None:
    weight, covariance = problem(seed, channels * run)
    found = eliminated(torch.from_numpy(weight), torch.from_numpy(covariance), run=run)
    gone: list[int] = []
    for channel in found.order:
        left = [candidate for candidate in range(channels) if candidate not in gone]
        costs = {candidate: error_without(weight, covariance, [*gone, candidate], run) for candidate in left}
        assert costs[channel] == pytest.approx(min(costs.values()), rel=1e-6)
        gone.append(channel)
        assert found.errors[len(gone)] == pytest.approx(costs[channel], rel=1e-6)
    assert len(gone) == channels - 1
    assert found.errors[0] == 0


def test_errors_of_wide_layers_are_those_of_least_squares_where_a_chunk_ends() -> None:
    """Channels go several at a time there, so only the ends of chunks are exact."""
    weight, covariance = problem(0, 160)
    found = eliminated(torch.from_numpy(weight), torch.from_numpy(covariance), fewest=16)
    assert len(found.order) == 144
    assert np.all(np.diff(found.errors) >= 0)
    exact = [error_without(weight, covariance, list(found.order[:count])) for count in (3, 6, 144)]
    np.testing.assert_allclose([found.errors[count] for count in (3, 6, 144)], exact, rtol=1e-6)


def test_of_two_copies_in_a_wide_layer_only_one_is_free() -> None:
    """Both look free, because each can stand for the other, and a wide layer loses several channels at a time."""
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(1000, 400))
    rows[:, 200:210] = rows[:, 100:110] + 1e-4 * rng.normal(size=(1000, 10))
    weight, covariance = rng.normal(size=(5, 400)), np.cov(rows.T)
    found = eliminated(torch.from_numpy(weight), torch.from_numpy(covariance), fewest=384)
    first = found.order[:10]
    assert all(len({100 + pair, 200 + pair} & set(first)) == 1 for pair in range(10))
    assert error_without(weight, covariance, list(first)) < 1e-3


def test_dead_and_copied_channels_go_first() -> None:
    rng = np.random.default_rng(3)
    rows = rng.normal(size=(600, 40))
    rows[:, 5] = 0
    rows[:, 17] = rows[:, 18]
    weight = rng.normal(size=(6, 40))
    weight[:, 9] = 0
    covariance = np.cov(rows.T) + 1e-9 * np.eye(40)
    found = eliminated(torch.from_numpy(weight), torch.from_numpy(covariance))
    assert {5, 9} <= set(found.order[:3])
    assert len({17, 18} & set(found.order[:3])) == 1
    assert found.errors[3] < 1e-6 < found.errors[4]
