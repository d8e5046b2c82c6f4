"""Finds the ratio of pruning that leaves a wanted share of the parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

TOLERANCE = 0.002
_MOST_TRIALS = 14


def ratio_of_share(
    share_at: Callable[[float], float], wanted: float, tolerance: float = TOLERANCE
) -> tuple[float, float]:
    """Returns the ratio between 0 and 1 whose share comes nearest to the one wanted, and that share.

    Channels are whole, so a share may not be reached exactly; a share that no ratio reaches gives the nearest trial.

    Args:
        share_at: Ratio -> share that it leaves; falls as the ratio grows.
        wanted: The share wanted.
        tolerance: A share this near ends the search.
    """
    low, high = 0.0, 1.0
    found: list[tuple[float, float]] = []
    for _ in range(_MOST_TRIALS):
        ratio = (low + high) / 2
        share = share_at(ratio)
        found.append((ratio, share))
        if abs(share - wanted) <= tolerance:
            break
        low, high = (ratio, high) if share > wanted else (low, ratio)
    return min(found, key=lambda trial: abs(trial[1] - wanted))
