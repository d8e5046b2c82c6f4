"""The plots of pruning: what each layer of a source lost, and what each percentage costs and saves."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from evaluate.number_text import percent_text
from evaluate.plots.network_axis import label_stages
from evaluate.plots.plots import save_figure
from export.sidecar import write_json

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

    from evaluate.pruning_comparison import RatioCurve
    from pruning.record import PruningRecord

# Okabe and Ito's colours; neighbours in a block differ most.
_COLOURS = {
    "stem": "#CC79A7",
    "convolution": "#0072B2",
    "depthwise": "#56B4E9",
    "squeeze-excite": "#E69F00",
    "head": "#009E73",
    "classifier": "#D55E00",
}
_OTHER_COLOUR = "0.6"
_LINE_COLOUR = "#D55E00"
_DASHES: tuple[float, tuple[float, ...]] = (0, (5, 2))
# A mask ratio of less is drawn on the scale of this one, so that a few zeros do not look like many.
_LOWEST_TOP = 10.0


def write_layer_plot(path: Path, source: str, pruning: PruningRecord) -> None:
    """Draws the share that each layer lost, in graph order; the numbers go to a JSON file beside it."""
    figure = Figure(figsize=(12.0, 4.6), layout="constrained")
    axes = figure.subplots()
    ratios = [100.0 * layer.mask_ratio for layer in pruning.layers]
    colours = [_COLOURS.get(layer.role, _OTHER_COLOUR) for layer in pruning.layers]
    axes.bar(np.arange(len(ratios)), ratios, width=0.8, color=colours, linewidth=0, zorder=2)
    overall = 100.0 * pruning.mask_ratio
    axes.axhline(overall, color="black", linewidth=1.2, linestyle=_DASHES, zorder=3)
    axes.set_xlim(-0.8, len(ratios) - 0.2)
    axes.set_ylim(0.0, min(102.0, 1.1 * max([*ratios, _LOWEST_TOP])))
    axes.set_ylabel("weights gone or zero (%)")
    label_stages(axes, [layer.name for layer in pruning.layers], "layer, in graph order")
    figure.suptitle(f"{source} ({pruning.kind}): {percent_text(pruning.mask_ratio)} of the weights gone or zero")
    _open_frame(axes)
    figure.legend(handles=_layer_handles(pruning), loc="outside lower left", ncols=8, frameon=False, fontsize=9)
    save_figure(figure, path)
    write_json(path.with_suffix(".json"), layer_plot_data(source, pruning))


def write_curve_plot(path: Path, curves: Sequence[RatioCurve]) -> None:
    """Draws AUC over size, one panel per curve; the numbers go to a JSON file beside it."""
    figure = Figure(figsize=(8.0, 0.6 + 4.2 * len(curves)), layout="constrained")
    for axes, curve in zip(figure.subplots(len(curves), squeeze=False)[:, 0], curves, strict=True):
        _draw_curve(axes, curve)
    figure.legend(handles=_curve_handles(curves), loc="outside lower left", ncols=4, frameon=False, fontsize=9)
    save_figure(figure, path)
    write_json(path.with_suffix(".json"), curve_plot_data(curves))


def layer_plot_data(source: str, pruning: PruningRecord) -> dict[str, Any]:
    """Returns the numbers of a source's plot: every layer, those that lost nothing included."""
    return {
        "source": source,
        "kind": pruning.kind,
        "recipe": pruning.recipe,
        "percent": pruning.percent,
        "mask_ratio": pruning.mask_ratio,
        "layers": [{**asdict(layer), "mask_ratio": layer.mask_ratio} for layer in pruning.layers],
    }


def curve_plot_data(curves: Sequence[RatioCurve]) -> list[dict[str, Any]]:
    """Returns the numbers of the curves, one object per curve."""
    return [
        {
            "kind": curve.kind,
            "precision": curve.precision,
            "lowest_stable_auc": curve.lowest_stable_auc,
            "percents": [point.percent for point in curve.points],
            "models": [point.variant.name for point in curve.points],
            "size_mib": [point.variant.size_mib for point in curve.points],
            "auc": [point.variant.auc for point in curve.points],
        }
        for curve in curves
    ]


def _layer_handles(pruning: PruningRecord) -> list[Patch | Line2D]:
    present = dict.fromkeys(layer.role for layer in pruning.layers)
    handles: list[Patch | Line2D] = [Patch(color=_COLOURS.get(role, _OTHER_COLOUR), label=role) for role in present]
    overall = f"all layers: {percent_text(pruning.mask_ratio)}"
    return [*handles, Line2D([], [], color="black", linewidth=1.2, linestyle=_DASHES, label=overall)]


def _draw_curve(axes: Axes, curve: RatioCurve) -> None:
    sizes = [point.variant.size_mib for point in curve.points]
    aucs = [point.variant.auc for point in curve.points]
    axes.plot(sizes, aucs, color=_LINE_COLOUR, linewidth=1.4, zorder=2)
    for point, size, auc in zip(curve.points, sizes, aucs, strict=True):
        face = "white" if point.variant.is_simulation else _LINE_COLOUR
        marker = "o" if point.percent else "D"
        axes.plot(size, auc, marker, markersize=7, markerfacecolor=face, markeredgecolor=_LINE_COLOUR, zorder=3)
        label = f"{point.percent}%" if point.percent else "dense"
        axes.annotate(label, (size, auc), (-6, 6), textcoords="offset points", ha="right", fontsize=9)
    if curve.lowest_stable_auc is not None:
        axes.axhline(curve.lowest_stable_auc, color="0.3", linewidth=1.2, linestyle=_DASHES, zorder=1)
    low, high = _widened(min(sizes), max(sizes), 0.05 * max(sizes))
    axes.set_xlim(low, high)
    shown = aucs if curve.lowest_stable_auc is None else [*aucs, curve.lowest_stable_auc]
    axes.set_ylim(*_widened(min(shown), max(shown), 0.005))
    axes.ticklabel_format(useOffset=False)
    axes.set(xlabel="Size of the evaluated file (MiB), smaller is better", ylabel="AUC on the test set")
    axes.set_title(f"{curve.kind} pruning, {curve.precision}")
    _open_frame(axes)


def _widened(low: float, high: float, least_span: float) -> tuple[float, float]:
    """Returns the ends of an axis with room for labels; without a least span, equal values would have no axis."""
    middle, half = (low + high) / 2, max(high - low, least_span) / 2
    return middle - 1.2 * half, middle + 1.25 * half


def _curve_handles(curves: Sequence[RatioCurve]) -> list[Line2D]:
    """Returns what occurs in a panel: measured and simulated points, and the lowest stable AUC."""
    points = [point for curve in curves for point in curve.points]
    handles = []
    for simulated, face, text in ((False, _LINE_COLOUR, "measured"), (True, "white", "simulated")):
        if any(point.variant.is_simulation == simulated for point in points):
            handle = Line2D([], [], linestyle="none", marker="o", markersize=7, label=text)
            handle.set(markerfacecolor=face, markeredgecolor=_LINE_COLOUR)
            handles.append(handle)
    if any(curve.lowest_stable_auc is not None for curve in curves):
        handles.append(Line2D([], [], color="0.3", linewidth=1.2, linestyle=_DASHES, label="lowest AUC called stable"))
    return handles


def _open_frame(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="0.92")
    axes.set_axisbelow(True)
