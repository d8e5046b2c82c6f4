"""Two loops in turns, so that both share whatever else the machine does, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median, quantiles
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

# What an evaluation has to reach of the bare loop's images per second.
SMALLEST_RATIO = 0.9


@dataclass(frozen=True)
class ThroughputRow:
    """Images per second of one engine at one batch size.

    Attributes:
        variant: The engine's variant.
        batch: Images per inference.
        bare: Median of the bare loop's turns.
        evaluated: Median of the evaluation's turns.
        ratio: Median over the turns of evaluated / bare; the two of a turn ran next to each other.
        quartiles: First and third quartile of those.
    """

    variant: str
    batch: int
    bare: float
    evaluated: float
    ratio: float
    quartiles: tuple[float, float]


def row_of_turns(
    variant: str, batch: int, images: int, loops: tuple[Callable[[], float], Callable[[], float]], turns: int
) -> ThroughputRow:
    """Runs the bare loop and the evaluation in turns; who begins alternates.

    Args:
        variant: The engine's variant.
        batch: Images per inference.
        images: Images that each loop takes per turn.
        loops: The bare loop and the evaluation; each returns the seconds that a turn took.
        turns: How often each runs, after a turn that does not count: caches are cold, and kernels not yet chosen.
    """
    for loop in loops:
        loop()
    seconds: tuple[list[float], list[float]] = ([], [])
    for turn in range(turns):
        pair = list(zip(loops, seconds, strict=True))
        for loop, taken in pair if turn % 2 == 0 else reversed(pair):
            taken.append(loop())
    bare, evaluated = seconds
    ratios = [of_bare / of_evaluated for of_bare, of_evaluated in zip(bare, evaluated, strict=True)]
    low, middle, high = quantiles(ratios, n=4, method="inclusive")
    return ThroughputRow(variant, batch, images / median(bare), images / median(evaluated), middle, (low, high))
