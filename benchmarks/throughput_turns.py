"""Loops in turns, so that all share whatever else the machine does, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median, quantiles
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# What an evaluation has to reach of the bare loop's images per second.
SMALLEST_RATIO = 0.9


@dataclass(frozen=True)
class ThroughputRow:
    """Images per second of one engine at one batch size.

    Attributes:
        variant: The engine's variant.
        batch: Images per inference.
        bare: Bare loop -> median of its turns.
        evaluated: Median of the evaluation's turns.
        ratio: Median over the turns of evaluated / the fastest of the bare loops by its median; all loops of a turn ran
            next to each other.
        quartiles: First and third quartile of those.
    """

    variant: str
    batch: int
    bare: Mapping[str, float]
    evaluated: float
    ratio: float
    quartiles: tuple[float, float]


def row_of_turns(
    variant: str,
    batch: int,
    images: int,
    bare: Mapping[str, Callable[[], float]],
    evaluation: Callable[[], float],
    turns: int,
) -> ThroughputRow:
    """Runs the bare loops and the evaluation in turns; who begins alternates.

    Args:
        variant: The engine's variant.
        batch: Images per inference.
        images: Images that each loop takes per turn.
        bare: Name -> bare loop, which returns the seconds that a turn took.
        evaluation: The evaluation, likewise.
        turns: How often each runs, after a turn that does not count: caches are cold, and kernels not yet chosen.
    """
    loops = [*bare.values(), evaluation]
    for loop in loops:
        loop()
    seconds: list[list[float]] = [[] for _ in loops]
    for turn in range(turns):
        each = list(zip(loops, seconds, strict=True))
        for loop, taken in each if turn % 2 == 0 else reversed(each):
            taken.append(loop())
    *of_bare, evaluated = seconds
    fastest = min(of_bare, key=median)
    ratios = [taken / of_evaluation for taken, of_evaluation in zip(fastest, evaluated, strict=True)]
    low, middle, high = quantiles(ratios, n=4, method="inclusive")
    figures = {name: images / median(taken) for name, taken in zip(bare, of_bare, strict=True)}
    return ThroughputRow(variant, batch, figures, images / median(evaluated), middle, (low, high))
