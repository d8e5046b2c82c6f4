"""The report's two plots and the heatmaps' colour scale; the plotted numbers go to a JSON file beside each plot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from evaluate.maps.heatmap import tinted
from export.sidecar import write_atomically, write_json

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from evaluate.record import ReportRecord, VariantResult

# Okabe and Ito's palette for all colour visions, without its yellow, which is too pale on white.
_COLOURS = ("#000000", "#E69F00", "#56B4E9", "#009E73", "#D55E00", "#0072B2", "#CC79A7")
_DASHES: tuple[Any, ...] = ("solid", (0, (5, 2)), (0, (1, 1.2)), (0, (6, 2, 1, 2)))
_DPI = 150
_CORNER_WIDTH, _CORNER_HEIGHT = 0.2, 0.3
# Below the diagonal, where no curve of a detector better than chance runs.
_INSET_BOUNDS = (0.54, 0.06, 0.44, 0.42)


def write_size_plot(path: Path, record: ReportRecord) -> None:
    """Draws size and AUC of every variant side by side, with the same rows."""
    variants = record.variants
    rows = np.arange(len(variants))
    figure = Figure(figsize=(8.5, 1.6 + 0.5 * len(variants)), layout="constrained")
    sizes, aucs = figure.subplots(1, 2, sharey=True, width_ratios=(1.25, 1.0))
    _draw_sizes(sizes, [variant.size_mib for variant in variants])
    _draw_aucs(aucs, record)
    sizes.set_yticks(rows, [variant.name for variant in variants])
    sizes.set_ylim(len(variants) - 0.4, -0.6)
    figure.legend(loc="outside lower right", ncols=4, frameon=False)
    save_figure(figure, path)
    write_json(path.with_suffix(".json"), size_plot_data(record))


def write_roc_plot(path: Path, record: ReportRecord) -> None:
    """Draws every variant's ROC curve with the decision threshold marked, and enlarges the top-left corner.

    Where no curve enters that corner, there is nothing to enlarge.
    """
    figure = Figure(figsize=(7.0, 8.0), layout=ConstrainedLayoutEngine(h_pad=0.1))
    axes = figure.subplots()
    panels = [axes, *([_corner_of(axes)] if any(map(_enters_corner, record.variants)) else [])]
    for panel in panels:
        for index, variant in enumerate(record.variants):
            _draw_roc(panel, variant, index, len(record.variants))
        panel.grid(color="0.92")
        panel.set_axisbelow(True)
    axes.plot([0, 1], [0, 1], color="0.6", linewidth=1, linestyle=(0, (2, 3)), label="chance (0.5000)")
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), xlabel="False-positive rate", ylabel="True-positive rate")
    axes.set_aspect("equal")
    title = f"Variant (AUC); dots: threshold {record.threshold:g}"
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False, handlelength=4, title=title)
    save_figure(figure, path)
    write_json(path.with_suffix(".json"), roc_plot_data(record))


def write_heatmap_legend(path: Path, limit: float) -> None:
    """Draws the colour scale of the heatmaps over a grey face; see `evaluate.maps.heatmap`."""
    figure = Figure(figsize=(5.0, 0.9), layout="constrained")
    axes = figure.subplots()
    grey = np.full((1, 256, 3), 128, np.uint8)
    colours = tinted(grey, np.linspace(-1.0, 1.0, 256)[None, :])
    axes.imshow(colours, extent=(-limit, limit, 0, 1), aspect="auto")
    axes.set_yticks([])
    axes.set_xlabel("contribution to the fake logit   (blue: real, red: fake)")
    save_figure(figure, path)
    write_json(path.with_suffix(".json"), heatmap_legend_data(limit, colours))


def save_figure(figure: Figure, path: Path) -> None:
    """Writes a figure atomically, as the same bytes each time."""
    canvas = FigureCanvasAgg(figure)
    with write_atomically(path) as temporary:
        canvas.print_figure(temporary, dpi=_DPI, format="png")


def size_plot_data(record: ReportRecord) -> dict[str, Any]:
    """Returns the numbers of the size plot."""
    return {
        "models": [variant.name for variant in record.variants],
        "size_mib": [variant.size_mib for variant in record.variants],
        "auc": [variant.auc for variant in record.variants],
    }


def roc_plot_data(record: ReportRecord) -> list[dict[str, Any]]:
    """Returns the numbers of the ROC plot, one object per variant."""
    return [
        {
            "model": variant.name,
            "auc": variant.auc,
            "false_positive_rates": list(variant.roc.false_positive_rates),
            "true_positive_rates": list(variant.roc.true_positive_rates),
            "at_threshold": [variant.confusion.false_positive_rate, variant.confusion.recall],
        }
        for variant in record.variants
    ]


def heatmap_legend_data(limit: float, colours: NDArray[np.uint8]) -> dict[str, Any]:
    """Returns the numbers of the colour scale: contributions from -limit to limit, and the RGB colour of each."""
    contributions = np.linspace(-limit, limit, colours.shape[1])
    return {"contributions": contributions.tolist(), "colours": colours[0].tolist()}


def _draw_sizes(axes: Axes, sizes: list[float]) -> None:
    bars = axes.barh(np.arange(len(sizes)), sizes, height=0.6, color="#56B4E9")
    axes.bar_label(bars, labels=[f"{size:.2f}" for size in sizes], padding=4)
    axes.set_xlim(0, 1.2 * max(sizes))
    axes.set_xlabel("Size (MiB), smaller is better")
    axes.tick_params(axis="y", length=0)
    _open_frame(axes)


def _draw_aucs(axes: Axes, record: ReportRecord) -> None:
    aucs = [variant.auc for variant in record.variants]
    margin = 0.12 * max(max(aucs) - min(aucs), 0.02)
    axes.set_xlim(min(aucs) - margin, max(aucs) + margin)
    if record.baseline:
        auc = record.baseline.auc
        axes.axvspan(auc - record.stable_auc_drop, 1.1, color="#009E73", alpha=0.2, linewidth=0, label="stable")
        axes.axvline(auc, color="0.4", linewidth=1, label="baseline")
    _draw_dots(axes, record, simulated=False)
    _draw_dots(axes, record, simulated=True)
    for row, auc in enumerate(aucs):
        axes.annotate(f"{auc:.4f}", (1.02, row), xycoords=("axes fraction", "data"), va="center")
    axes.set_xlabel("AUC, larger is better")
    axes.tick_params(axis="y", length=0)
    _open_frame(axes)


def _draw_dots(axes: Axes, record: ReportRecord, simulated: bool) -> None:
    points = [(v.auc, row) for row, v in enumerate(record.variants) if v.is_simulation == simulated]
    if points:
        aucs, rows = zip(*points, strict=True)
        axes.scatter(
            aucs,
            rows,
            s=55,
            facecolor="white" if simulated else "#D55E00",
            edgecolor="#D55E00",
            linewidth=1.8,
            zorder=3,
            label="simulated" if simulated else "measured",
        )


def _enters_corner(variant: VariantResult) -> bool:
    roc = variant.roc
    reached = np.interp(_CORNER_WIDTH, roc.false_positive_rates, roc.true_positive_rates)
    return bool(reached > 1.0 - _CORNER_HEIGHT)


def _corner_of(axes: Axes) -> Axes:
    inset = axes.inset_axes(_INSET_BOUNDS)
    inset.set(xlim=(0.0, _CORNER_WIDTH), ylim=(1.0 - _CORNER_HEIGHT, 1.005))
    inset.set_title("the framed corner, enlarged", fontsize=9)
    inset.tick_params(labelsize=8)
    inset.locator_params(nbins=5)
    axes.indicate_inset((0.0, 1.0 - _CORNER_HEIGHT, _CORNER_WIDTH, _CORNER_HEIGHT), edgecolor="0.3")
    return inset


def _draw_roc(axes: Axes, variant: VariantResult, index: int, count: int) -> None:
    # Earlier curves and dots are larger, so that a later one that coincides leaves a rim of them visible.
    excess = (count - 1 - index) / max(count - 1, 1)
    colour = _COLOURS[index % len(_COLOURS)]
    axes.plot(
        variant.roc.false_positive_rates,
        variant.roc.true_positive_rates,
        color=colour,
        linewidth=1.4 + 3.0 * excess,
        linestyle=_DASHES[index % len(_DASHES)],
        label=f"{variant.name} ({variant.auc:.4f})",
    )
    axes.plot(
        variant.confusion.false_positive_rate,
        variant.confusion.recall,
        marker="o",
        markersize=6.0 + 6.0 * excess,
        markerfacecolor=colour,
        markeredgecolor="white",
        zorder=3,
    )


def _open_frame(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x", color="0.9")
    axes.set_axisbelow(True)
