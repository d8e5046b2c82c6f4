"""Shares a budget among parts of a network so that the logit is disturbed least; pure functions of numbers.

Errors of parts are taken to add up on the logit, as those of rounding do. The best choice for a price per weight is
then each part's own, and the price is found by bisection (Lagrangian relaxation; Shoham and Gersho, "Efficient bit
allocation for an arbitrary set of quantizers", 1988).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
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
        noise: Noise power on the logit of each option; 0 for the first.
        family: Parts of the same family have options of the same number and meaning.
    """

    name: str
    savings: NDArray[np.float64]
    noise: NDArray[np.float64]
    family: str = ""


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


# What a family takes: the option of those of its members that take any, and which members those are.
_Choice = tuple[int, tuple[bool, ...]]


def allocated(parts: Sequence[Options], wanted: float) -> Allocation:
    """Returns options that save at least `wanted` weights with little noise: the least there is, up to one step.

    Raises:
        PruningError: All parts together do not offer that much.
    """
    most = sum(float(part.savings[-1]) for part in parts)
    if most < wanted:
        raise PruningError(f"{wanted:.0f} weights were to go, and only {most:.0f} can")
    families = _families(parts)
    low, high = _CHEAPEST, _DEAREST
    for _ in range(_BISECTIONS):
        price = float(np.sqrt(low * high))
        if _saved(families, _at_price(families, price)) < wanted:
            low = price
        else:
            high = price
    choices = _completed(families, _at_price(families, low), _at_price(families, high), wanted)
    choices = _trimmed(families, choices, wanted)
    chosen = {
        part.name: option if takes else 0
        for family, (option, members) in zip(families, choices, strict=True)
        for part, takes in zip(family, members, strict=True)
    }
    return Allocation(
        chosen,
        sum(float(part.savings[chosen[part.name]]) for part in parts),
        sum(float(part.noise[chosen[part.name]]) for part in parts),
    )


def _families(parts: Sequence[Options]) -> list[list[Options]]:
    def name(part: Options) -> str:
        return part.family or part.name

    return [list(family) for _, family in groupby(sorted(parts, key=name), key=name)]


def _at_price(families: Sequence[Sequence[Options]], price: float) -> list[_Choice]:
    return [_best_choice(family, price) for family in families]


def _best_choice(family: Sequence[Options], price: float) -> _Choice:
    costs = np.array([part.noise - price * part.savings for part in family])
    option = int(np.argmin(np.minimum(costs, 0.0).sum(axis=0)))
    return option, tuple(bool(cost < 0) for cost in costs[:, option])


def _saved(families: Sequence[Sequence[Options]], choices: Sequence[_Choice]) -> float:
    return sum(_total(family, choice)[0] for family, choice in zip(families, choices, strict=True))


def _total(family: Sequence[Options], choice: _Choice) -> tuple[float, float]:
    """Returns savings and noise of a family."""
    option, members = choice
    taking = [part for part, takes in zip(family, members, strict=True) if takes]
    return sum(float(part.savings[option]) for part in taking), sum(float(part.noise[option]) for part in taking)


def _completed(
    families: Sequence[Sequence[Options]], below: Sequence[_Choice], above: Sequence[_Choice], wanted: float
) -> list[_Choice]:
    """Goes from one allocation to the next larger one family by family, as far as needed."""
    choices = list(below)
    for number, choice in enumerate(above):
        if _saved(families, choices) >= wanted:
            break
        choices[number] = choice
    return choices


def _trimmed(families: Sequence[Sequence[Options]], choices: Sequence[_Choice], wanted: float) -> list[_Choice]:
    """Takes back what was taken too much, step by step, always where that lowers the noise most."""
    choices = list(choices)
    while True:
        excess = _saved(families, choices) - wanted
        best, number = 0.0, -1
        for position, (family, (option, members)) in enumerate(zip(families, choices, strict=True)):
            if option == 0:
                continue
            saved, noise = _total(family, (option, members))
            less_saved, less_noise = _total(family, (option - 1, members))
            if saved - less_saved <= excess and noise - less_noise > best:
                best, number = noise - less_noise, position
        if number < 0:
            return choices
        option, members = choices[number]
        choices[number] = (option - 1, members)
