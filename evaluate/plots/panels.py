"""A grid of small panels, one per variant, that share their axes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_COLUMNS = 4
_SIDE_INCHES = 2.9


def panels_of(figure: Figure, count: int) -> list[Axes]:
    """Sizes the figure for `count` square panels, at most four beside each other, and returns them row by row."""
    columns = min(count, _MOST_COLUMNS)
    rows = -(-count // columns)
    figure.set_size_inches(max(_SIDE_INCHES * columns, 6.0), _SIDE_INCHES * rows + 1.0)
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    panels = [axes for line in grid for axes in line]
    for axes in panels[count:]:
        axes.set_visible(False)
    for axes in panels[max(count - columns, 0) : count]:
        axes.xaxis.set_tick_params(labelbottom=True)
    return panels[:count]
