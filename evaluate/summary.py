"""The table that evaluate-engines prints when it is done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluate.int8_comparison import int8_warnings
from evaluate.markdown import simulation_marks
from evaluate.number_text import diff_text, reduction_text
from evaluate.pruning_comparison import pruning_warnings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from evaluate.record import ReportRecord, VariantResult

_HEADER = ("Model", "MiB", "Reduction", "AUC", "Diff", "Status", "Accuracy", "FP", "FN")


def summary_from_record(record: ReportRecord, paths: Sequence[Path] = ()) -> str:
    """Returns plain text: an aligned table, the notes without which it misleads, and the paths written."""
    marks = simulation_marks(record)
    table = _aligned([_HEADER, *(_row(variant, marks.get(variant.simulation, "")) for variant in record.variants)])
    notes = [f"{mark} simulated: {reason}" for reason, mark in marks.items()]
    warnings = (*record.warnings, *pruning_warnings(record), *int8_warnings(record))
    notes += [f"warning: {warning}" for warning in warnings]
    blocks = [table, notes, [str(path) for path in paths]]
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


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        first, *others = (cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        lines.append("  ".join([first.strip().ljust(widths[0]), *others]))
    return lines
