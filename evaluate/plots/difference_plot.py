"""The plot of the AUC differences with their intervals and margins; the numbers go to a JSON file beside it."""

from __future__ import annotations

from dataclasses import asdict
from statistics import median
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure

from evaluate.number_text import diff_text
from evaluate.plots.plots import save_figure
from evaluate.sections.interval_section import MARGIN_LIMIT, with_statistics
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
# In margins: an interval that reaches further is cut off.
_FURTHEST = 4.0
# Points between a difference and its grade.
_GRADE_COLUMN = 50.0


def write_difference_plot(path: Path, record: ReportRecord, verdict: Verdict | None = None) -> None:
    """Draws each variant's AUC minus the baseline's with both intervals."""
    rows = difference_plot_data(record, verdict)
    figure = Figure(figsize=(8.5, 1.9 + 0.55 * len(rows)), layout="constrained")
    axes = figure.subplots()
    low, high = difference_range(rows)
    axes.set_xlim(low, high)
    axes.axvline(0.0, color="0.5", linewidth=1, zorder=1)
    for index, row in enumerate(rows):
        _draw_row(axes, index, row)
        draw_cut_ends(axes, index, row)
    _annotate(axes, 0, (1.0, 1.0), "axes fraction", "Diff")
    if any(row["grade"] for row in rows):
        _annotate(axes, _GRADE_COLUMN, (1.0, 1.0), "axes fraction", "Loss of AUC:")
    if any(row["margin"] is not None for row in rows):
        axes.plot([], [], color=_MARGIN, linestyle=_DASHES, linewidth=1.5, label="margin: largest loss allowed")
    axes.set_yticks(range(len(rows)), [row["model"] for row in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlabel("AUC minus the baseline's, with 95% intervals (right is better)")
    axes.tick_params(axis="y", length=0, pad=8)
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
                "is_waived": bool(finding and finding.waived),
            }
        )
    return rows


def difference_range(rows: list[dict[str, Any]]) -> tuple[float, float]:
    """Returns both ends of the axis of differences.

    Zero and every margin are on it, and the intervals as far as they reach no further than a few times the largest
    margin or the median reach, whichever is larger: what reaches further would shrink them to dots.
    """
    reaches = [max(-low, high) for low, high in map(_ends, rows)]
    margin = max((row["margin"] for row in rows if row["margin"] is not None), default=0.0)
    furthest = _FURTHEST * max(margin, median(reaches) if reaches else 0.0)
    loss = max((-low for low, _ in map(_ends, rows) if -low <= furthest), default=0.0)
    gain = max((high for _, high in map(_ends, rows) if high <= furthest), default=0.0)
    loss, gain = max(loss, margin), max(gain, 0.0)
    pad = 0.06 * (loss + gain) or 1e-4
    return -loss - pad, gain + pad


def draw_cut_ends(axes: Axes, index: int, row: dict[str, Any]) -> None:
    """Puts an arrow where an interval goes on beyond the axis, with the difference, or the end if that is shown."""
    (left, right), (low, high), value = axes.get_xlim(), _ends(row), row["difference"]
    for edge, end, is_cut, is_off, marker, align in (
        (left, low, low < left, value < left, "<", "left"),
        (right, high, high > right, value > right, ">", "right"),
    ):
        if not is_cut:
            continue
        axes.plot(edge, index, marker, color="black", markersize=7, clip_on=False, zorder=4)
        # Beside the arrow where nothing else of the row is drawn, above its lines otherwise.
        height = 0.0 if is_off else 11.0
        axes.annotate(
            diff_text(value if is_off else end),
            (edge, index),
            (7.0 if align == "left" else -7.0, height),
            textcoords="offset points",
            ha=align,
            va="center",
            fontsize=8,
        )


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
    place = (1.0, index)
    _annotate(axes, 0, place, ("axes fraction", "data"), diff_text(value))
    if row["grade"]:
        grade = f"{row['grade']} (waived)" if row["is_waived"] else row["grade"]
        _annotate(axes, _GRADE_COLUMN, place, ("axes fraction", "data"), grade)


def _annotate(
    axes: Axes, offset: float, place: tuple[float, float], coordinates: str | tuple[str, str], text: str
) -> None:
    """Writes to the right of the axes; headings stand above them."""
    up, align = (3.0, "bottom") if coordinates == "axes fraction" else (0.0, "center")
    axes.annotate(
        text,
        place,
        (6.0 + offset, up),
        xycoords=coordinates,
        textcoords="offset points",
        va=align,
        fontsize=9,
    )


def _ends(row: dict[str, Any]) -> tuple[float, float]:
    """Returns how far a row's drawing reaches; an interval of a bootstrap need not hold the figure itself."""
    lows, highs = zip(*((row[name]["low"], row[name]["high"]) for name in ("delong", "bootstrap")), strict=True)
    return min(*lows, row["difference"]), max(*highs, row["difference"])
