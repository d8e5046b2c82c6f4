"""The tables that evaluate-engines prints when it is done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluate.latency_comparison import main_setting, rows_at
from evaluate.number_text import (
    diff_interval_text,
    diff_text,
    interval_text,
    milliseconds_text,
    rate_text,
    reduction_text,
)
from evaluate.sections.interval_section import with_statistics
from evaluate.sections.markdown import simulation_marks
from evaluate.sections.warning_list import all_warnings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from evaluate.latency_comparison import Setting
    from evaluate.record import ReportRecord, VariantResult, VariantStatistics

_HEADER = ("Model", "MiB", "Reduction", "AUC", "Diff", "Status", "Accuracy", "FP", "FN")
_INTERVAL_HEADER = ("Model", "AUC 95%", "Diff 95%", "Flips", "Broken")
_LATENCY_HEADER = ("Median ms", "Images/s")


def summary_from_record(record: ReportRecord) -> str:
    """Returns plain text: aligned tables and the notes without which they mislead."""
    marks = simulation_marks(record)
    setting = main_setting(record)
    rows = [_HEADER, *(_row(variant, marks.get(variant.simulation, "")) for variant in record.variants)]
    if setting is not None:
        times = [_LATENCY_HEADER, *_latency_cells(record, setting)]
        rows = [(*row, *cells) for row, cells in zip(rows, times, strict=True)]
    table = _aligned(rows)
    notes = [*_threshold_note(record), *(f"{mark} simulated: {reason}" for reason, mark in marks.items())]
    if setting is not None:
        notes.append(_latency_note(setting))
    notes += [f"warning: {warning}" for warning in all_warnings(record)]
    blocks = [table, _interval_table(record, marks), notes]
    return "\n\n".join("\n".join(block) for block in blocks if block)


def _row(variant: VariantResult, mark: str) -> tuple[str, ...]:
    comparison = variant.comparison
    against_baseline = (
        (reduction_text(comparison.reduction), diff_text(comparison.auc_diff), comparison.status)
        if comparison
        else ("N/A", "N/A", "N/A")
    )
    reduction, diff, status = against_baseline
    return (
        f"{variant.name} {mark}".rstrip(),
        f"{variant.size_mib:.2f}",
        reduction,
        f"{variant.auc:.4f}",
        diff,
        status,
        f"{variant.confusion.accuracy:.3f}",
        str(variant.confusion.fp),
        str(variant.confusion.fn),
    )


def _interval_table(record: ReportRecord, marks: Mapping[str, str]) -> list[str]:
    """Returns how well the test set determines the AUCs; nothing if that was not computed."""
    found = with_statistics(record)
    rows = [_interval_row(variant, stats, marks.get(variant.simulation, "")) for variant, stats in found]
    return _aligned([_INTERVAL_HEADER, *rows]) if rows else []


def _interval_row(variant: VariantResult, stats: VariantStatistics, mark: str) -> tuple[str, ...]:
    difference, drift = stats.difference, stats.drift
    return (
        f"{variant.name} {mark}".rstrip(),
        interval_text(stats.auc.quoted),
        diff_interval_text(difference.quoted) if difference else "N/A",
        str(drift.flips.share.count) if drift else "N/A",
        str(drift.flips.broken) if drift else "N/A",
    )


def _latency_cells(record: ReportRecord, setting: Setting) -> list[tuple[str, ...]]:
    found = {
        row.variant.name: (
            milliseconds_text(row.measured.latency.median),
            rate_text(row.measured.images_per_second),
        )
        for row in rows_at(setting, setting.main_batch)
    }
    return [found.get(variant.name, ("-", "-")) for variant in record.variants]


def _latency_note(setting: Setting) -> str:
    caution = "; it says nothing about a GPU" if setting.is_on_cpu else ""
    return f"latency: batch {setting.main_batch} by {setting.title}{caution}"


def _threshold_note(record: ReportRecord) -> list[str]:
    """Tells the two thresholds of the tables apart, where they are two."""
    drifts = [stats.drift for _, stats in with_statistics(record) if stats.drift]
    if not drifts or drifts[0].threshold == record.threshold:
        return []
    return [f"accuracy, FP and FN are those at the threshold {record.threshold:g}, flips at {drifts[0].threshold:.4f}"]


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        first, *others = (cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        lines.append("  ".join([first.strip().ljust(widths[0]), *others]))
    return lines
