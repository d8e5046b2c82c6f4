"""What TensorRT tells about 2:4 sparsity while it builds: how many layers could use it and how many do."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

SPARSITY_MARK = "(Sparsity)"

# Of the two wordings, "Found 3 layer(s) ..." counts and "Layers eligible ...: a, b" lists.
_ELIGIBLE = re.compile(
    r"\(Sparsity\) (?:Found (?P<count>\d+) layer\(s\) eligible|Layers eligible for sparse math:(?P<names>.*))",
    re.DOTALL,
)
_PICKED = re.compile(
    r"\(Sparsity\) (?:Chose (?P<count>\d+) layer\(s\) using sparse tactics"
    r"|TRT inference plan picked sparse implementation for layers:(?P<names>.*))",
    re.DOTALL,
)


@dataclass(frozen=True)
class SparsityTold:
    """Layers that 2:4 sparsity bears on, in TensorRT's own count, which is taken after fusion.

    Attributes:
        eligible: Layers whose weights follow the pattern; None if TensorRT told nothing.
        picked: Those for which a sparse kernel was the fastest; None likewise.
    """

    eligible: int | None
    picked: int | None


def sparsity_told(messages: Iterable[str]) -> SparsityTold:
    """Reads the log of a build; of several passes over the network, the last is the one that made the plan."""
    eligible: int | None = None
    picked: int | None = None
    for message in messages:
        if match := _ELIGIBLE.search(message):
            eligible = _count(match)
        elif match := _PICKED.search(message):
            picked = _count(match)
    return SparsityTold(eligible, picked)


def _count(match: re.Match[str]) -> int:
    return int(match["count"]) if match["count"] else _listed(match["names"])


def _listed(names: str) -> int:
    """Counts names between commas; fused layers such as `conv + PWN(PWN(sigmoid), mul)` have commas inside as well."""
    depth = commas = 0
    for character in names:
        if character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
        elif character == "," and depth == 0:
            commas += 1
    return commas + 1 if names.strip() else 0
