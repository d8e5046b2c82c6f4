"""How a variant is drawn, alike in every plot: colour, dashes and marker, so that colour alone tells nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

# Okabe and Ito's palette for all colour visions, without its yellow, which is too pale on white.
_COLOURS = ("#000000", "#E69F00", "#56B4E9", "#009E73", "#D55E00", "#0072B2", "#CC79A7")
_DASHES: tuple[Any, ...] = ("solid", (0, (5, 2)), (0, (1, 1.2)), (0, (6, 2, 1, 2)))
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h")


@dataclass(frozen=True)
class VariantStyle:
    """Line and marker of a variant.

    Attributes:
        colour: Of both, as `#rrggbb`.
        dashes: Line style of matplotlib.
        marker: Marker of matplotlib.
    """

    colour: str
    dashes: Any
    marker: str


def variant_style(index: int) -> VariantStyle:
    """Returns the style of the variant in this row of the report, from 0."""
    return VariantStyle(_COLOURS[index % len(_COLOURS)], _DASHES[index % len(_DASHES)], _MARKERS[index % len(_MARKERS)])
