"""The report's section on slices: the parts of the test set on which a model does worst."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluate.number_text import diff_text, proportion_text
from evaluate.sections.interval_section import with_statistics
from evaluate.sections.markdown_table import escaped, markdown_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evaluate.record import ReportRecord, VariantResult
    from evaluate.sections.markdown_table import Alignment
    from evaluate.statistics.slices import Slice

SLICES_SHOWN = 3
_UNCHANGED = 5e-5
_ALIGNMENTS: tuple[Alignment, ...] = ("left", "left", "left", *("right",) * 6)


def slice_lines(record: ReportRecord, number: int) -> list[str]:
    """Returns the section's lines; none if the test set has no slices."""
    found = [(variant, stats.slices) for variant, stats in with_statistics(record) if stats.slices]
    if not found:
        return []
    header = ["Model", "Slice", "Listed for", "Fakes", "Reals", "AUC", "Diff", "Missed fakes", "False alarms"]
    rows = [_row(variant, part, reason) for variant, parts in found for part, reason in worst_slices(parts)]
    counts: dict[str, int] = {}
    for part in found[0][1]:
        counts[part.attribute] = counts.get(part.attribute, 0) + 1
    divided = ", ".join(f"{escaped(attribute)} ({count})" for attribute, count in counts.items())
    return [
        f"## {number}. Slices",
        *markdown_table(header, _ALIGNMENTS, rows),
        "",
        f"The test set was divided by {divided}; parts of fewer than ten videos are left out. For each model, the "
        f"{SLICES_SHOWN} parts of lowest AUC and the {SLICES_SHOWN} that lose most against the baseline are listed; "
        "all are in report.json. A part that has fakes or reals only is judged against all videos of the other "
        "class. Errors are those at the frozen threshold (0.5 without one).",
        "",
        "With many small parts, some look bad by chance: look for one that is bad for several models, and at its size.",
        "",
    ]


def worst_slices(parts: Sequence[Slice], count: int = SLICES_SHOWN) -> list[tuple[Slice, str]]:
    """Returns the slices of lowest AUC and those of largest loss, each once and with the reason."""
    lowest = sorted(parts, key=lambda part: part.auc)[:count]
    losses = sorted(
        (part for part in parts if (part.auc_diff or 0.0) < -_UNCHANGED), key=lambda part: part.auc_diff or 0.0
    )
    losers = losses[:count]
    listed = [(part, "lowest AUC, largest loss" if part in losers else "lowest AUC") for part in lowest]
    return listed + [(part, "largest loss") for part in losers if part not in lowest]


def _row(variant: VariantResult, part: Slice, reason: str) -> list[str]:
    return [
        f"**{escaped(variant.name)}**",
        f"{escaped(part.attribute)}: {escaped(part.value)}",
        reason,
        str(part.fakes),
        str(part.reals),
        f"{part.auc:.4f}",
        "N/A" if part.auc_diff is None else diff_text(part.auc_diff),
        proportion_text(part.missed_fakes),
        proportion_text(part.false_alarms),
    ]
