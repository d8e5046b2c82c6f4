"""The plot of latency against AUC, one panel per setting; the plotted numbers go to a JSON file beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.transforms import Bbox

from evaluate.latency_comparison import rows_at, undominated
from evaluate.plots.plots import save_figure
from export.sidecar import write_json

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.text import Annotation

    from evaluate.latency_comparison import LatencyRow, Setting
    from evaluate.record import ReportRecord

_COLOUR = "#D55E00"
_DASHES: tuple[float, tuple[float, ...]] = (0, (5, 2))
_LEAST_AUC_SPAN = 0.005
_LABEL_SIZE = 9
# Where a label may stand, in points from its dot. The front comes from below and leaves to the right, so that a label
# is clear of it above to the left and below to the right.
_PLACES: tuple[tuple[float, float, str], ...] = (
    (-6, 8, "right"),
    (6, -14, "left"),
    (9, -3, "left"),
    (-9, -3, "right"),
    (6, 8, "left"),
    (-6, -14, "right"),
    (0, 18, "center"),
    (0, -26, "center"),
)


def write_latency_plot(path: Path, settings: Sequence[Setting], record: ReportRecord) -> None:
    """Draws AUC over median latency at each setting's main batch."""
    figure = Figure(figsize=(8.0, 0.6 + 4.2 * len(settings)), layout=ConstrainedLayoutEngine(h_pad=0.1))
    panels = figure.subplots(len(settings), squeeze=False)[:, 0]
    for axes, setting in zip(panels, settings, strict=True):
        _draw_setting(axes, setting, record)
    figure.legend(handles=_handles(settings, record), loc="outside lower left", ncols=4, frameon=False, fontsize=9)
    FigureCanvasAgg(figure)
    figure.draw_without_rendering()
    for axes, setting in zip(panels, settings, strict=True):
        _label_dots(axes, rows_at(setting, setting.main_batch))
    save_figure(figure, path)
    write_json(path.with_suffix(".json"), latency_plot_data(settings, record))


def latency_plot_data(settings: Sequence[Setting], record: ReportRecord) -> list[dict[str, Any]]:
    """Returns the numbers of the plot, one object per panel."""
    return [_panel_data(setting, record) for setting in settings]


def _panel_data(setting: Setting, record: ReportRecord) -> dict[str, Any]:
    rows = rows_at(setting, setting.main_batch)
    return {
        "backend": setting.backend,
        "device": setting.device,
        "conditions": setting.conditions,
        "batch": setting.main_batch,
        "lowest_stable_auc": _lowest_stable_auc(record),
        "models": [row.variant.name for row in rows],
        "median_latency_ms": [row.measured.latency.median for row in rows],
        "p99_latency_ms": [row.measured.latency.p99 for row in rows],
        "images_per_second": [row.measured.images_per_second for row in rows],
        "auc": [row.variant.auc for row in rows],
        "auc_is_simulated": [row.variant.is_simulation for row in rows],
        "front": [row.variant.name for row in undominated(rows)],
    }


def _lowest_stable_auc(record: ReportRecord) -> float | None:
    return None if record.baseline is None else record.baseline.auc - record.stable_auc_drop


def _draw_setting(axes: Axes, setting: Setting, record: ReportRecord) -> None:
    rows = rows_at(setting, setting.main_batch)
    front = undominated(rows)
    axes.step([_x(row) for row in front], [row.variant.auc for row in front], where="post", color="0.55", zorder=2)
    for row in rows:
        face = "white" if row.variant.is_simulation else _COLOUR
        axes.plot(_x(row), row.variant.auc, "o", markersize=8, markerfacecolor=face, markeredgecolor=_COLOUR, zorder=3)
    shown = [row.variant.auc for row in rows]
    lowest = _lowest_stable_auc(record)
    if lowest is not None:
        axes.axhline(lowest, color="0.3", linewidth=1.2, linestyle=_DASHES, zorder=1)
        shown.append(lowest)
    axes.set_xlim(0.0, 1.18 * max(_x(row) for row in rows))
    middle, half = (min(shown) + max(shown)) / 2, max(max(shown) - min(shown), _LEAST_AUC_SPAN) / 2
    axes.set_ylim(middle - 1.25 * half, middle + 1.25 * half)
    axes.ticklabel_format(useOffset=False)
    note = ": says nothing about a GPU" if setting.is_on_cpu else ""
    axes.set(
        xlabel=f"Median latency at batch {setting.main_batch} (ms), smaller is better",
        ylabel="AUC on the test set",
        title=f"{setting.title}{note}",
    )
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="0.92")
    axes.set_axisbelow(True)


def _x(row: LatencyRow) -> float:
    return row.measured.latency.median


def _label_dots(axes: Axes, rows: Sequence[LatencyRow]) -> None:
    """Writes each variant's name where it is inside and covers no dot and no other name, if there is such a place.

    From left to right, so that names stand in the order of their dots; a line says which dot a name belongs to.
    """
    dots = [axes.transData.transform((_x(row), row.variant.auc)) for row in rows]
    taken = [Bbox.from_bounds(x - 7, y - 7, 14, 14) for x, y in dots]
    inside = axes.get_window_extent()
    for row in sorted(rows, key=_x):
        costs = []
        for place in _PLACES:
            label = _label(axes, row, place)
            box = label.get_window_extent().padded(1)
            label.remove()
            is_outside = box.x0 < inside.x0 or box.x1 > inside.x1 or box.y0 < inside.y0 or box.y1 > inside.y1
            costs.append(box.count_overlaps(taken) + is_outside)
        best = _label(axes, row, _PLACES[costs.index(min(costs))])
        taken.append(best.get_window_extent())
        _draw_leader(axes, row, taken[-1])


def _draw_leader(axes: Axes, row: LatencyRow, label: Bbox) -> None:
    x, y = axes.transData.transform((_x(row), row.variant.auc))
    nearest = min(max(x, label.x0), label.x1), min(max(y, label.y0), label.y1)
    end_x, end_y = axes.transData.inverted().transform(nearest)
    axes.add_line(Line2D([_x(row), end_x], [row.variant.auc, end_y], color="0.4", linewidth=0.7, zorder=2.5))


def _label(axes: Axes, row: LatencyRow, place: tuple[float, float, str]) -> Annotation:
    x, y, side = place
    label = axes.annotate(
        row.variant.name, (_x(row), row.variant.auc), (x, y), textcoords="offset points", ha=side, fontsize=_LABEL_SIZE
    )
    # The layout is settled; a label must not move what it was placed by.
    label.set_in_layout(False)
    return label


def _handles(settings: Sequence[Setting], record: ReportRecord) -> list[Line2D]:
    rows = [row for setting in settings for row in rows_at(setting, setting.main_batch)]
    handles = []
    for simulated, face, text in ((False, _COLOUR, "AUC measured"), (True, "white", "AUC simulated")):
        if any(row.variant.is_simulation == simulated for row in rows):
            handle = Line2D([], [], linestyle="none", marker="o", markersize=8, label=text)
            handle.set(markerfacecolor=face, markeredgecolor=_COLOUR)
            handles.append(handle)
    handles.append(Line2D([], [], color="0.55", label="none is as fast and better"))
    if record.baseline is not None:
        handles.append(Line2D([], [], color="0.3", linewidth=1.2, linestyle=_DASHES, label="lowest AUC called stable"))
    return handles
