"""The plot of the AUC differences with their intervals and margins; the numbers go to a JSON file beside it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure

from evaluate.plots.plots import save_figure
from evaluate.sections.interval_section import MARGIN_LIMIT, with_statistics
from evaluate.sections.number_text import diff_text
from evaluate.sections.verdict_section import finding_of
from export.sidecar import write_json

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes

    from evaluate.record import ReportRecord
    from evaluate.verdict.verdict import Verdict

_DELONG, _BOOTSTRAP, _MARGIN = "#0072B2", "#D55E00", "black"
_DASHES: tuple[float, tuple[float, ...]] = (0, (3, 2))
_OFFSET = 0.13


def write_difference_plot(path: Path, record: ReportRecord, verdict: Verdict | None = None) -> None:
    """Draws each variant's AUC minus the baseline's with both intervals."""
    rows = difference_plot_data(record, verdict)
    figure = Figure(figsize=(8.5, 1.9 + 0.55 * len(rows)), layout="constrained")
    axes = figure.subplots()
    axes.axvline(0.0, color="0.5", linewidth=1, zorder=1)
    for index, row in enumerate(rows):
        _draw_row(axes, index, row)
    if any(row["margin"] is not None for row in rows):
        axes.plot([], [], color=_MARGIN, linestyle=_DASHES, linewidth=1.5, label="margin: largest loss allowed")
    axes.set_yticks(range(len(rows)), [row["model"] for row in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlabel("AUC minus the baseline's, with 95% intervals (right is better)")
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x", color="0.92")
    axes.set_axisbelow(True)
    figure.legend(loc="outside lower right", ncols=3, frameon=False, fontsize=9)
    save_figure(figure, path)
    write_json(path.with_suffix(".json"), rows)


def difference_plot_data(record: ReportRecord, verdict: Verdict | None = None) -> list[dict[str, Any]]:
    """Returns the numbers of the plot, one object per variant that was compared with the baseline."""
    rows = []
    for variant, stats in with_statistics(record):
        if stats.difference is None:
            continue
        finding = finding_of(verdict, variant.name, MARGIN_LIMIT)
        rows.append(
            {
                "model": variant.name,
                "difference": stats.difference.value,
                "delong": asdict(stats.difference.delong),
                "bootstrap": asdict(stats.difference.bootstrap),
                "margin": finding.allowed if finding else None,
                "grade": finding.grade if finding else None,
            }
        )
    return rows


def _draw_row(axes: Axes, index: int, row: dict[str, Any]) -> None:
    value = row["difference"]
    for name, offset, colour, marker in (("delong", -_OFFSET, _DELONG, "o"), ("bootstrap", _OFFSET, _BOOTSTRAP, "s")):
        low, high = row[name]["low"], row[name]["high"]
        # An interval of a bootstrap need not hold the figure itself; errorbar draws no negative lengths.
        axes.hlines(index + offset, low, high, color=colour, linewidth=2, zorder=2)
        axes.plot([low, high], [index + offset] * 2, "|", color=colour, markersize=7, markeredgewidth=2, zorder=2)
        text = {"delong": "DeLong", "bootstrap": "bootstrap of groups"}[name]
        axes.plot(value, index + offset, marker, color=colour, zorder=3, label=None if index else text)
    if row["margin"] is not None:
        x = -row["margin"]
        axes.plot([x, x], [index - 0.5, index + 0.5], color=_MARGIN, linestyle=_DASHES, linewidth=1.5, zorder=1)
    grade = f"   {row['grade']}" if row["grade"] else ""
    axes.annotate(
        f"{diff_text(value)}{grade}", (1.01, index), xycoords=("axes fraction", "data"), va="center", fontsize=9
    )
