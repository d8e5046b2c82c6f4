"""Which layers become INT8: a knapsack of noise, bytes and operations, solved exactly."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from calibration.placement import Arithmetic

# Bytes settle what operations leave open: the whole model's bytes weigh as much as this share of its operations.
_BYTE_WEIGHT = 0.01
_SOLVER_SECONDS = 20.0
_NOISE_WEIGHT = 1e-4


@dataclass(frozen=True)
class Option:
    """One way to store and compute a group.

    Attributes:
        arithmetic: The way.
        noise: Noise power that it adds to the logit.
        size_bytes: What it takes in the file.
        float_macs: Multiply-accumulate operations per image that are not done in INT8.
    """

    arithmetic: Arithmetic
    noise: float
    size_bytes: int
    float_macs: int


@dataclass(frozen=True)
class Assignment:
    """An option for every group.

    Attributes:
        chosen: Index of the option taken, group by group.
        noise: Predicted noise power: noise of different layers adds up.
        size_bytes: Bytes of all groups.
        float_macs: Operations per image not done in INT8.
        within_limits: Whether both limits are met.
    """

    chosen: tuple[int, ...]
    noise: float
    size_bytes: int
    float_macs: int
    within_limits: bool


def fewest_float_macs(groups: Sequence[Sequence[Option]], max_noise: float, max_bytes: float) -> Assignment:
    """Chooses the options that do most operations in INT8 within a limit of noise and one of bytes.

    Where both limits cannot be met, that of bytes is, if it can be, with the least possible noise. Solved as a
    mixed-integer program by HiGHS, after scaling every quantity to the order of one.

    Args:
        groups: The options of each group; one of them is taken.
        max_noise: Largest noise power of all groups together.
        max_bytes: Most bytes of all groups together.
    """
    options = [option for group in groups for option in group]
    noise = np.array([option.noise for option in options])
    size = np.array([option.size_bytes for option in options], dtype=np.float64)
    macs = np.array([option.float_macs for option in options], dtype=np.float64)
    cost = macs / max(macs.sum(), 1) + _BYTE_WEIGHT * size / max(size.sum(), 1)
    cost = cost + _NOISE_WEIGHT * noise / max(max_noise, 1e-30) / len(groups)
    noise_limit = (noise / max(max_noise, 1e-30), 1.0)
    size_limit = (size / max(max_bytes, 1), 1.0)
    solution = _solved(groups, cost, [noise_limit, size_limit])
    within = solution is not None
    if solution is None:
        solution = _solved(groups, noise / max(noise.max(), 1e-30), [size_limit])
    if solution is None:
        solution = _solved(groups, size, [])
    if solution is None:
        raise RuntimeError("the solver found no assignment although one without limits exists")
    return _assignment(groups, solution, within)


def least_noise(groups: Sequence[Sequence[Option]], max_bytes: float) -> Assignment | None:
    """Chooses the options with the least noise within a limit of bytes; None if no choice is that small."""
    options = [option for group in groups for option in group]
    noise = np.array([option.noise for option in options])
    size = np.array([option.size_bytes for option in options], dtype=np.float64)
    solution = _solved(groups, noise / max(noise.max(), 1e-30), [(size / max(max_bytes, 1), 1.0)])
    return None if solution is None else _assignment(groups, solution, True)


def _solved(
    groups: Sequence[Sequence[Option]],
    cost: NDArray[np.float64],
    limits: Sequence[tuple[NDArray[np.float64], float]],
) -> NDArray[np.float64] | None:
    owners = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
    one_each = (owners[None, :] == np.arange(len(groups))[:, None]).astype(np.float64)
    constraints = [LinearConstraint(one_each, 1, 1)]
    constraints += [LinearConstraint(row[None, :], -np.inf, limit) for row, limit in limits]
    with _silent_solver():
        result = milp(
            cost,
            integrality=np.ones(len(cost)),
            bounds=Bounds(0, 1),
            constraints=constraints,
            options={"time_limit": _SOLVER_SECONDS, "mip_rel_gap": 1e-4},
        )
    return None if result.x is None else np.asarray(result.x, dtype=np.float64)


@contextmanager
def _silent_solver() -> Iterator[None]:
    """Keeps HiGHS, which leaves a debugging line on the process's standard output, from writing there."""
    sys.stdout.flush()
    kept = os.dup(1)
    silence = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(silence, 1)
        yield
    finally:
        os.dup2(kept, 1)
        os.close(silence)
        os.close(kept)


def _assignment(groups: Sequence[Sequence[Option]], solution: NDArray[np.float64], within: bool) -> Assignment:
    starts = np.cumsum([0, *(len(group) for group in groups)])
    chosen = tuple(int(np.argmax(solution[a:b])) for a, b in pairwise(starts))
    taken = [group[index] for group, index in zip(groups, chosen, strict=True)]
    return Assignment(
        chosen=chosen,
        noise=sum(option.noise for option in taken),
        size_bytes=sum(option.size_bytes for option in taken),
        float_macs=sum(option.float_macs for option in taken),
        within_limits=within,
    )
