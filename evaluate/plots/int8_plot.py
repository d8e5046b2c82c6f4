"""The plot of an INT8 variant: how much each group of layers harms alone, and the compromises that were found."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from evaluate.plots.network_axis import label_stages
from evaluate.plots.plots import save_figure
from export.sidecar import write_json

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

    from calibration.int8_record import ArithmeticName, FrontierPoint, Int8Record
    from evaluate.int8_comparison import Sensitivity

# Okabe and Ito's colours; float is hollow besides.
_STYLES: dict[ArithmeticName, tuple[str, str, str]] = {
    "int8": ("INT8", "#0072B2", "#0072B2"),
    "int8-weights": ("INT8 weights", "#E69F00", "#E69F00"),
    "float": ("float", "white", "#D55E00"),
}
_MARKERS = {
    "convolution": "o",
    "depthwise": "v",
    "squeeze-excite": "s",
    "stem": "D",
    "head": "^",
    "classifier": "P",
}
_OTHER_MARKER = "X"
_GREY = "0.45"
_AIM_DASHES: tuple[float, tuple[float, ...]] = (0, (5, 2))
_NAMED_GROUPS = 3
_LARGE, _SMALL = 6.0, 3.6
# A group beyond it harms nothing; a compromise that much above the aim has next to nothing in INT8.
_HIGHEST_DB, _HEADROOM_DB = 80.0, 25.0
_COLOUR_MAP = "cividis"  # its steps look alike to all colour visions
_LEGEND_ROWS = 3


def write_sensitivity_plot(path: Path, variant: str, int8: Int8Record, sensitivity: Sensitivity) -> None:
    """Draws the groups and, where something was searched, the frontier; the numbers go to a JSON file beside it."""
    if int8.frontier:
        figure = Figure(figsize=(12.0, 5.6), layout="constrained")
        groups, frontier = figure.subplots(1, 2, width_ratios=(1.6, 1.0))
        _draw_frontier(frontier, int8)
    else:
        figure = Figure(figsize=(9.0, 5.6), layout="constrained")
        groups = figure.subplots()
    _draw_groups(groups, int8, sensitivity)
    figure.suptitle(f"{variant} (recipe {int8.recipe})")
    columns = _legend_columns(int8, sensitivity)
    handles = [handle for column in columns for handle in (*column, *[_handle()] * (_LEGEND_ROWS - len(column)))]
    figure.legend(handles=handles, loc="outside lower left", ncols=len(columns), frameon=False, fontsize=9)
    save_figure(figure, path)
    write_json(path.with_suffix(".json"), sensitivity_data(variant, int8))


def sensitivity_data(variant: str, int8: Int8Record) -> dict[str, Any]:
    """Returns the numbers of the plot: every group, those that were not measured included, and the whole frontier."""
    return {
        "model": variant,
        "recipe": int8.recipe,
        "sqnr_db": int8.sqnr_db,
        "min_sqnr_db": int8.min_sqnr_db,
        "size_mib": int8.size_mib,
        "max_size_mib": int8.max_size_mib,
        "groups": [asdict(group) for group in int8.groups],
        "frontier": [asdict(point) for point in int8.frontier],
    }


def _draw_groups(axes: Axes, int8: Int8Record, sensitivity: Sensitivity) -> None:
    drawn = [None if sqnr is None else min(sqnr, _HIGHEST_DB) for sqnr in sensitivity.sqnr_db]
    for index, (group, sqnr) in enumerate(zip(int8.groups, drawn, strict=True)):
        if sqnr is not None:
            _, face, edge = _STYLES[group.arithmetic]
            marker = _MARKERS.get(group.role, _OTHER_MARKER)
            size = _SMALL if sensitivity.weights_only[index] else _LARGE
            axes.plot(index, sqnr, marker, markersize=size, markerfacecolor=face, markeredgecolor=edge)
    heights = [0.012] * len(sensitivity.unmeasured)
    axes.plot(sensitivity.unmeasured, heights, "|", color=_GREY, markersize=7, transform=axes.get_xaxis_transform())
    for rank, index in enumerate(sensitivity.worst(_NAMED_GROUPS), start=1):
        height = drawn[index] or 0.0
        axes.annotate(f"{rank}", (index, height), (5, -3), textcoords="offset points", fontsize=9, weight="bold")
    _draw_aim(axes, int8)
    axes.set_xlim(-1.5, len(int8.groups) + 0.5)
    label_stages(axes, [group.name for group in int8.groups], "groups in network order")
    clipped = f"; what exceeds {_HIGHEST_DB:g} is drawn there" if _HIGHEST_DB in drawn else ""
    axes.set_ylabel(f"logit SQNR (dB{clipped})")
    axes.set_title("Each group alone in INT8 (higher is better)", fontsize=10)
    _open_frame(axes)


def _draw_aim(axes: Axes, int8: Int8Record) -> None:
    if int8.min_sqnr_db is not None:
        axes.axhline(int8.min_sqnr_db, color=_GREY, linewidth=1.2, linestyle=_AIM_DASHES, zorder=1)


def _legend_columns(int8: Int8Record, sensitivity: Sensitivity) -> list[list[Line2D]]:
    """Returns the legend by theme: arithmetic, lines, roles and the names of the worst, at most three in a column."""
    measured = [group for group, sqnr in zip(int8.groups, sensitivity.sqnr_db, strict=True) if sqnr is not None]
    found = {group.arithmetic for group in measured}
    styles = [style for arithmetic, style in _STYLES.items() if arithmetic in found]
    arithmetics = [_handle("o", face, edge, f"ends up as {text}") for text, face, edge in styles]
    others = []
    if int8.min_sqnr_db is not None:
        label = f"aimed at by the variant: {int8.min_sqnr_db:.1f} dB"
        others.append(Line2D([], [], color=_GREY, linewidth=1.2, linestyle=_AIM_DASHES, label=label))
    if any(sensitivity.weights_only):
        others.append(_handle("o", _GREY, _GREY, "small: only its weights in INT8", _SMALL))
    if sensitivity.unmeasured:
        others.append(_handle("|", _GREY, _GREY, "not measured"))
    present = {group.role for group in measured}
    markers = {role: marker for role, marker in _MARKERS.items() if role in present}
    markers |= dict.fromkeys(sorted(present - set(_MARKERS)), _OTHER_MARKER)
    roles = [_handle(marker, _GREY, _GREY, role) for role, marker in markers.items()]
    worst = enumerate(sensitivity.worst(_NAMED_GROUPS), start=1)
    names = [_handle(f"${rank}$", "black", "none", int8.groups[index].name) for rank, index in worst]
    themes = [arithmetics, others, *(roles[i : i + _LEGEND_ROWS] for i in range(0, len(roles), _LEGEND_ROWS)), names]
    return [theme for theme in themes if theme]


def _handle(marker: str = "", face: str = "none", edge: str = "none", label: str = " ", size: float = _LARGE) -> Line2D:
    handle = Line2D([], [], linestyle="none", marker=marker, markersize=size, label=label)
    handle.set(markerfacecolor=face, markeredgecolor=edge)
    return handle


def _draw_frontier(axes: Axes, int8: Int8Record) -> None:
    shares = [100 * point.int8_mac_share for point in int8.frontier]
    colours = Normalize(min(shares), max(shares))
    for weight_only, marker, dashes, text in (
        (True, "o", "solid", "weights may be INT8 alone"),
        (False, "s", (0, (4, 2)), "INT8 or FP16 only"),
    ):
        points = [point for point in int8.frontier if point.weight_only == weight_only]
        if points:
            _draw_points(axes, points, colours, marker)
            line = _upper_envelope(points)
            sizes, sqnrs = [point.size_mib for point in line], [point.sqnr_db for point in line]
            axes.plot(
                sizes, sqnrs, color=_GREY, linewidth=1.2, linestyle=dashes, marker=marker, markersize=5, label=text
            )
    _mark_chosen(axes, int8.frontier)
    _draw_aim(axes, int8)
    limit = "" if int8.max_size_mib is None else f"; limit {int8.max_size_mib:g}"
    low, high = _sizes_of_interest(int8)
    if int8.max_size_mib is not None and low <= int8.max_size_mib <= high:
        axes.axvline(int8.max_size_mib, color=_GREY, linewidth=1.2, linestyle=(0, (1, 1.5)), zorder=1, label="limit")
    axes.set(xlim=(low, high), xlabel=f"size of the ONNX file (MiB{limit})", ylabel="predicted logit SQNR (dB)")
    axes.set_ylim(top=_highest_of_interest(int8))
    axes.set_title("The best compromises found (up and left is better)", fontsize=10)
    axes.legend(loc="best", fontsize=9)
    mappable = ScalarMappable(colours, _COLOUR_MAP)
    axes.figure.colorbar(mappable, ax=axes, label="INT8 share of MACs (%)", pad=0.02)
    _open_frame(axes)


def _sizes_of_interest(int8: Int8Record) -> tuple[float, float]:
    """Returns the ends of the axis: all sizes, and the limit unless it is so far away that it would squeeze them."""
    sizes = [point.size_mib for point in int8.frontier]
    span = max(max(sizes) - min(sizes), 0.02 * max(sizes))
    if int8.max_size_mib is not None and min(sizes) - span / 2 <= int8.max_size_mib <= max(sizes) + span / 2:
        sizes.append(int8.max_size_mib)
    return min(sizes) - 0.06 * span, max(sizes) + 0.06 * span


def _highest_of_interest(int8: Int8Record) -> float | None:
    """Returns where to cut the axis: nothing in INT8 has any SQNR, and showing it would flatten the rest."""
    wanted = [point.sqnr_db for point in int8.frontier if point.chosen]
    wanted += [] if int8.min_sqnr_db is None else [int8.min_sqnr_db]
    limit = max(wanted, default=_HIGHEST_DB) + _HEADROOM_DB
    return limit if any(point.sqnr_db > limit for point in int8.frontier) else None


def _draw_points(axes: Axes, points: Sequence[FrontierPoint], colours: Normalize, marker: str) -> None:
    axes.scatter(
        [point.size_mib for point in points],
        [point.sqnr_db for point in points],
        c=[100 * point.int8_mac_share for point in points],
        cmap=_COLOUR_MAP,
        norm=colours,
        s=36,
        marker=marker,
        edgecolor=_GREY,
        linewidth=0.5,
        zorder=3,
    )


def _mark_chosen(axes: Axes, frontier: Sequence[FrontierPoint]) -> None:
    for point in frontier:
        if point.chosen:
            label = f"chosen: {point.size_mib:.1f} MiB, {point.sqnr_db:.1f} dB, {100 * point.int8_mac_share:.0f} % INT8"
            ring = Line2D([point.size_mib], [point.sqnr_db], linestyle="none", marker="o", markersize=13, label=label)
            ring.set(markerfacecolor="none", markeredgecolor="#D55E00", markeredgewidth=2)
            axes.add_line(ring)


def _upper_envelope(points: Sequence[FrontierPoint]) -> list[FrontierPoint]:
    """Returns the points that no smaller one surpasses; the others trade SQNR for INT8 arithmetic."""
    line: list[FrontierPoint] = []
    for point in sorted(points, key=lambda each: (each.size_mib, -each.sqnr_db)):
        if not line or point.sqnr_db > line[-1].sqnr_db:
            line.append(point)
    return line


def _open_frame(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="0.92")
    axes.set_axisbelow(True)
