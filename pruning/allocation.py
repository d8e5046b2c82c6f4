"""Shares a budget among parts of a network so that the logit is disturbed least; pure functions of numbers.

Errors of parts are taken to add up on the logit, as those of rounding do. The best choice for a price per weight is
then each part's own, and the price is found by bisection (Lagrangian relaxation; Shoham and Gersho, "Efficient bit
allocation for an arbitrary set of quantizers", 1988).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pruning.errors import PruningError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_BISECTIONS = 200
_CHEAPEST, _DEAREST = 1e-30, 1e30


@dataclass(frozen=True)
class Options:
    """What may be taken from one part of a network.

    Attributes:
        name: Of the part.
        savings: What each option saves, in weights; rising from 0.
        noise: Noise power on the logit of each option.
    """

    name: str
    savings: NDArray[np.float64]
    noise: NDArray[np.float64]


@dataclass(frozen=True)
class Allocation:
    """The option chosen for each part.

    Attributes:
        chosen: Name of a part -> number of its option.
        saved: What all of them save, in weights.
        noise: Predicted noise power on the logit.
    """

    chosen: dict[str, int]
    saved: float
    noise: float


def allocated(parts: Sequence[Options], wanted: float) -> Allocation:
    """Returns the options with the least noise among those that save at least `wanted` weights, up to convexity.

    Raises:
        PruningError: All parts together do not offer that much.
    """
    most = sum(float(part.savings[-1]) for part in parts)
    if most < wanted:
        raise PruningError(f"{wanted:.0f} weights were to go, and only {most:.0f} can")
    low, high = _CHEAPEST, _DEAREST
    for _ in range(_BISECTIONS):
        price = float(np.sqrt(low * high))
        if _at_price(parts, price).saved < wanted:
            low = price
        else:
            high = price
    return _with_leftovers(parts, _at_price(parts, low), _at_price(parts, high), wanted)


def _at_price(parts: Sequence[Options], price: float) -> Allocation:
    return _allocation(parts, {part.name: int(np.argmin(part.noise - price * part.savings)) for part in parts})


def _with_leftovers(parts: Sequence[Options], below: Allocation, above: Allocation, wanted: float) -> Allocation:
    """Goes from one allocation to the next larger one part by part, as far as needed."""
    chosen = dict(below.chosen)
    saved = below.saved
    for part in parts:
        if saved >= wanted:
            break
        step = part.savings[above.chosen[part.name]] - part.savings[chosen[part.name]]
        if step > 0:
            chosen[part.name] = above.chosen[part.name]
            saved += float(step)
    return _allocation(parts, chosen)


def _allocation(parts: Sequence[Options], chosen: dict[str, int]) -> Allocation:
    return Allocation(
        chosen,
        sum(float(part.savings[chosen[part.name]]) for part in parts),
        sum(float(part.noise[chosen[part.name]]) for part in parts),
    )
