"""The horizontal axis of plots that show a network's layers in their order."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from matplotlib.ticker import MaxNLocator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

_MOST_TICKS = 12


def label_stages(axes: Axes, names: Sequence[str], label: str) -> None:
    """Labels the axis; a tick is in the middle of each run of layers that share two parts of their names.

    Args:
        axes: Shows what has index `i` of `names` at `i`.
        names: Names such as `blocks.0.1.conv_dw`, in order.
        label: What is shown, to which the meaning of the ticks is added.
    """
    runs: list[tuple[str, float]] = []
    edges = []
    for stage, members in groupby(range(len(names)), lambda index: ".".join(names[index].split(".")[:2])):
        indices = list(members)
        edges.append(indices[-1] + 0.5)
        if len(indices) > 1:
            runs.append((stage, (indices[0] + indices[-1]) / 2))
    if not 2 <= len(runs) <= _MOST_TICKS:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel(f"{label}, by number")
        return
    roots = {stage.partition(".")[0] for stage, _ in runs}
    root = roots.pop() if len(roots) == 1 else ""
    axes.set_xticks([middle for _, middle in runs], [stage.removeprefix(f"{root}.") for stage, _ in runs])
    axes.tick_params(axis="x", length=0)
    for edge in edges[:-1]:
        axes.axvline(edge, color="0.88", linewidth=0.8, zorder=0)
    axes.set_xlabel(f"{label}, by {root}.N" if root else label)
