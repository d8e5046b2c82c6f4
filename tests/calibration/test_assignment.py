from __future__ import annotations

import os
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calibration.assignment import Option, fewest_float_macs, least_noise
from calibration.placement import Arithmetic

# Bytes weigh a hundredth of the operations, and noise next to nothing: the objective that the module states.
BYTE_WEIGHT = 0.01


def random_groups(seed: int, count: int, decades: float = 3.0) -> list[list[Option]]:
    """Draws groups as the search meets them: INT8 is small and noisy, float is large, exact and slow."""
    rng = np.random.default_rng(seed)
    groups = []
    for _ in range(count):
        weights, macs = int(rng.integers(10, 10_000)), int(rng.integers(100, 1_000_000))
        noise = float(10 ** rng.uniform(-decades, 0))
        options = [
            Option(Arithmetic.INT8, noise, weights, 0),
            Option(Arithmetic.INT8_WEIGHTS, noise / 20, weights, macs),
            Option(Arithmetic.FLOAT, 0.0, 2 * weights, macs),
        ]
        kept = sorted(rng.choice(3, int(rng.integers(1, 4)), replace=False))
        groups.append([options[index] for index in kept])
    return groups


def every_choice(groups: list[list[Option]]) -> list[tuple[float, int, int, float]]:
    """Lists (noise, bytes, float operations, cost) of every combination."""
    options = [option for group in groups for option in group]
    all_macs, all_bytes = sum(o.float_macs for o in options), sum(o.size_bytes for o in options)
    found = []
    for taken in product(*groups):
        macs, size = sum(o.float_macs for o in taken), sum(o.size_bytes for o in taken)
        cost = macs / max(all_macs, 1) + BYTE_WEIGHT * size / max(all_bytes, 1)
        found.append((sum(o.noise for o in taken), size, macs, cost))
    return found


def cost_of(groups: list[list[Option]], macs: int, size: int) -> float:
    options = [option for group in groups for option in group]
    return macs / max(sum(o.float_macs for o in options), 1) + BYTE_WEIGHT * size / sum(o.size_bytes for o in options)


@given(st.integers(0, 10_000), st.integers(1, 6), st.floats(0.02, 1.2), st.floats(0.3, 1.1))
@settings(max_examples=60, deadline=None)
def test_best_choice_is_that_of_brute_force(seed: int, count: int, noise_share: float, byte_share: float) -> None:
    groups = random_groups(seed, count)
    choices = every_choice(groups)
    max_noise = max(noise_share * max(choice[0] for choice in choices), 1e-6)
    max_bytes = byte_share * max(choice[1] for choice in choices)
    got = fewest_float_macs(groups, max_noise, max_bytes)
    taken = [group[index] for group, index in zip(groups, got.chosen, strict=True)]
    assert got.noise == pytest.approx(sum(o.noise for o in taken))
    assert (got.size_bytes, got.float_macs) == (sum(o.size_bytes for o in taken), sum(o.float_macs for o in taken))
    allowed = [choice for choice in choices if choice[0] <= max_noise and choice[1] <= max_bytes]
    assert got.within_limits is bool(allowed)
    if allowed:
        assert got.noise <= max_noise * (1 + 1e-6)
        assert got.size_bytes <= max_bytes * (1 + 1e-6)
        # The solver may stop within 1e-4 of the best, and noise breaks ties with that weight.
        assert cost_of(groups, got.float_macs, got.size_bytes) <= min(choice[3] for choice in allowed) * 1.0002 + 2e-4
        return
    small = [choice for choice in choices if choice[1] <= max_bytes]
    if small:
        assert got.size_bytes <= max_bytes * (1 + 1e-6)
        assert got.noise == pytest.approx(min(choice[0] for choice in small), rel=1e-3)
    else:
        assert got.size_bytes == min(choice[1] for choice in choices)


@given(st.integers(0, 10_000), st.integers(1, 6), st.floats(0.4, 1.1))
@settings(max_examples=40, deadline=None)
def test_least_noise_is_that_of_brute_force(seed: int, count: int, byte_share: float) -> None:
    groups = random_groups(seed, count)
    choices = every_choice(groups)
    max_bytes = byte_share * max(choice[1] for choice in choices)
    small = [choice[0] for choice in choices if choice[1] <= max_bytes]
    got = least_noise(groups, max_bytes)
    assert (got is None) is (not small)
    if got is not None:
        assert got.noise == pytest.approx(min(small), rel=1e-3, abs=1e-4 * max(o.noise for g in groups for o in g))
        assert got.size_bytes <= max_bytes * (1 + 1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_noises_of_many_orders_of_magnitude_break_no_limit(seed: int) -> None:
    """A harmful layer is ten million times as noisy as the limit: a solver's tolerance must not let it in."""
    groups = random_groups(seed, 7, decades=9)
    limit = float(np.median([o.noise for g in groups for o in g if o.noise > 0]))
    got = fewest_float_macs(groups, limit, 1e9)
    allowed = [choice for choice in every_choice(groups) if choice[0] <= limit]
    assert got.within_limits is bool(allowed)
    if allowed:
        assert got.noise <= limit * (1 + 1e-5)


def test_wider_limits_never_cost_operations() -> None:
    groups = random_groups(3, 40)
    total = sum(max(o.noise for o in group) for group in groups)
    found = [fewest_float_macs(groups, share * total, 1e9) for share in (0.01, 0.03, 0.1, 0.3, 1)]
    macs = [assignment.float_macs for assignment in found]
    slack = 0.02 * sum(o.float_macs for group in groups for o in group)
    assert all(b <= a + slack for a, b in pairwise(macs))
    assert macs[-1] < macs[0] / 2


def test_pinned_group_has_one_option_and_keeps_it() -> None:
    pinned = [Option(Arithmetic.INT8, 100.0, 10, 0)]
    free = [Option(Arithmetic.INT8, 0.1, 10, 0), Option(Arithmetic.FLOAT, 0.0, 20, 500)]
    got = fewest_float_macs([pinned, free], 1.0, 1e9)
    assert (got.chosen, got.within_limits) == ((0, 1), False)
    got = fewest_float_macs([pinned, free], 100.1, 1e9)
    assert (got.chosen, got.within_limits) == ((0, 0), True)


def test_solver_writes_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    fewest_float_macs(random_groups(1, 12), 0.5, 1e9)
    os.write(1, b"still there\n")
    assert capfd.readouterr().out == "still there\n"
