"""report.md, rendered from the record alone."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from evaluate.comparison import insights_from_record
from evaluate.latency_comparison import fastest_stable
from evaluate.number_text import diff_text, milliseconds_text, reduction_text, speed_up_text
from evaluate.sections.cam_section import cam_lines
from evaluate.sections.drift_section import drift_lines
from evaluate.sections.int8_section import int8_lines
from evaluate.sections.interval_section import has_differences, interval_lines
from evaluate.sections.ladder_section import ladder_lines
from evaluate.sections.latency_section import latency_lines
from evaluate.sections.markdown_table import escaped, image_link, markdown_table
from evaluate.sections.provenance_section import engine_lines, provenance_lines
from evaluate.sections.pruning_section import pruning_lines
from evaluate.sections.quality_section import quality_lines
from evaluate.sections.slice_section import slice_lines
from evaluate.sections.threshold_section import threshold_lines
from evaluate.sections.verdict_section import decision_lines, verdict_section_lines
from evaluate.sections.visual_analysis import visual_analysis_lines
from evaluate.sections.warning_list import all_warnings
from evaluate.verdict.verdict_lines import grade_text
from evaluate.verdict.verdict_text import smallest_passing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from evaluate.record import ReportRecord, VariantResult
    from evaluate.sections.markdown_table import Alignment
    from evaluate.verdict.verdict import Verdict

SIZE_PLOT = "performance_graph.png"
ROC_PLOT = "roc_curve_comparison.png"
HEATMAP_LEGEND = "heatmap_scale.png"
_PARTIAL = (
    "**Warning:** these figures are of a part of the test set, because videos are missing for some variant and "
    "--allow-partial let that pass. Nothing should be signed off by them."
)
_MARKS = "†‡§¶"
_QUALITY_ALIGNMENTS: tuple[Alignment, ...] = ("left", *("right",) * 9)


def markdown_from_record(record: ReportRecord, verdict: Verdict | None = None) -> str:
    """Returns the text of report.md; its image paths are relative to the report's folder."""
    marks = simulation_marks(record)
    legend = HEATMAP_LEGEND if record.heatmap_limit is not None else None
    sections = [
        [f"# Deepfake Analysis Report (Backbone: {escaped(record.backbone)})", "---"],
        [_PARTIAL, ""] if record.is_partial else [],
        [*verdict_section_lines(record, verdict), ""] if verdict else [],
        [*_performance_lines(record, marks), ""],
        [*_insight_lines(record, verdict), ""],
        [*_quality_lines(record, marks), ""],
        [*_visualization_lines(), ""],
        visual_analysis_lines(record, legend),
    ]
    # The first five are always there; of the others, those with nothing to say take no number.
    number = 6
    for lines_of in (
        partial(interval_lines, verdict=verdict),
        quality_lines,
        threshold_lines,
        drift_lines,
        slice_lines,
        ladder_lines,
        cam_lines,
        pruning_lines,
        int8_lines,
        latency_lines,
        engine_lines,
        provenance_lines,
    ):
        lines = lines_of(record, number)
        sections.append(lines)
        number += bool(lines)
    if verdict:
        sections.append(["", *decision_lines(verdict)])
    return "\n".join(line for section in sections for line in section) + "\n"


def simulation_marks(record: ReportRecord) -> dict[str, str]:
    """Maps each distinct reason why scores are a simulation to its footnote mark."""
    reasons = dict.fromkeys(variant.simulation for variant in record.variants if variant.is_simulation)
    return {reason: _MARKS[index % len(_MARKS)] * (index // len(_MARKS) + 1) for index, reason in enumerate(reasons)}


def _performance_lines(record: ReportRecord, marks: Mapping[str, str]) -> list[str]:
    header = ["Model", "Size (MB)", "Reduction", "AUC", "Diff"]
    rows = [_performance_row(variant, marks) for variant in record.variants]
    drop = f"{record.stable_auc_drop:g}"
    lines = ["## 1. Performance Summary", *markdown_table(header, ["left"] * 5, rows), ""]
    lines.append(
        "Size is that of the file whose scores are shown, in MiB (1,048,576 bytes). AUC is per video. Diff is against "
        f"the baseline; a variant is Stable if it loses at most {drop} AUC and Degraded if it loses more."
    )
    if has_differences(record):
        lines.append("Whether this test set can tell them apart is in section 6.")
    lines += [f"\n{mark} Simulated: {escaped(reason)}" for reason, mark in marks.items()]
    lines += [f"\n**Warning:** {escaped(warning)}" for warning in all_warnings(record)]
    return lines


def _performance_row(variant: VariantResult, marks: Mapping[str, str]) -> list[str]:
    size = f"{variant.size_mib:.2f}"
    comparison = variant.comparison
    if comparison is None:
        return [_model(variant, marks), size, "N/A", f"{variant.auc:.4f}", "N/A"]
    reduction, diff = reduction_text(comparison.reduction), diff_text(comparison.auc_diff)
    return [_model(variant, marks), size, reduction, f"{variant.auc:.4f} ({comparison.status})", diff]


def _insight_lines(record: ReportRecord, verdict: Verdict | None) -> list[str]:
    insights = insights_from_record(record)
    lines = ["## 2. Key Insights"]
    highest, best, worst = insights.highest_auc, insights.best_compression, insights.largest_drop
    if highest:
        lines.append(f"- Highest AUC: **{escaped(highest.name)}** at {highest.auc:.4f}.")
    if record.baseline is None:
        return [*lines, "- The baseline was not evaluated, so nothing can be said about compression or loss."]
    tolerance = f"{100 * record.stable_auc_drop:g}%"
    if best and best.comparison:
        size, saved = best.size_mib, 100 * best.comparison.reduction
        found = f"**{escaped(best.name)}** ({size:.1f} MB, {saved:.1f}% smaller){_grade_note(best, verdict)}"
    else:
        found = "none"
    lines.append(f"- Best compression within {tolerance} AUC of baseline: {found}.")
    drop = (
        f"**{escaped(worst.name)}** ({diff_text(worst.comparison.auc_diff)})" if worst and worst.comparison else "none"
    )
    lines.append(f"- Largest AUC drop: {drop}.")
    if verdict is not None:
        lines.append(f"- Smallest that passes: {_smallest_text(record, verdict)}.")
    if fastest := fastest_stable(record):
        lines.append(
            f"- Fastest within {tolerance} AUC of baseline: **{escaped(fastest.variant.name)}** "
            f"({milliseconds_text(fastest.measured.latency.median)} ms at batch {fastest.measured.batch} by "
            f"{escaped(fastest.setting.title)}; {speed_up_text(fastest.speed_up)} the baseline's speed)."
        )
    return lines


def _grade_note(variant: VariantResult, verdict: Verdict | None) -> str:
    """Returns ` (FAIL)`; nothing where it was not graded."""
    entries = {entry.variant: entry for entry in verdict.variants} if verdict else {}
    entry = entries.get(variant.name)
    if entry is None:
        return ""
    return f" ({entry.grade}, by simulated scores)" if grade_text(entry) != entry.grade else f" ({entry.grade})"


def _smallest_text(record: ReportRecord, verdict: Verdict) -> str:
    smallest = smallest_passing(record, verdict)
    if smallest is None or smallest.comparison is None:
        return "none"
    saved = 100 * smallest.comparison.reduction
    change = f"{saved:.1f}% smaller" if saved >= 0 else f"{-saved:.1f}% larger"
    note = ", by simulated scores" if smallest.is_simulation else ""
    return f"**{escaped(smallest.name)}** ({smallest.size_mib:.1f} MB, {change}){note}"


def _quality_lines(record: ReportRecord, marks: Mapping[str, str]) -> list[str]:
    header = ["Model", "Samples", "TP", "TN", "FP", "FN", "Precision", "Recall", "F1", "Accuracy"]
    rows = []
    for variant in record.variants:
        counts = variant.confusion
        integers = [counts.samples, counts.tp, counts.tn, counts.fp, counts.fn]
        ratios = [counts.precision, counts.recall, counts.f1, counts.accuracy]
        rows.append([_model(variant, marks), *map(str, integers), *(f"{ratio:.3f}" for ratio in ratios)])
    table = markdown_table(header, _QUALITY_ALIGNMENTS, rows)
    note = f"A video whose score is at least {record.threshold:g} is called fake; fake is the positive class."
    return ["## 3. Classification Quality", *table, "", note]


def _visualization_lines() -> list[str]:
    images = [image_link("Bar", SIZE_PLOT), image_link("ROC", ROC_PLOT)]
    return ["## 4. Visualizations", *markdown_table(["Size vs AUC", "ROC Curve"], ["center"] * 2, [images])]


def _model(variant: VariantResult, marks: Mapping[str, str]) -> str:
    mark = f" {marks[variant.simulation]}" if variant.is_simulation else ""
    return f"**{escaped(variant.name)}**{mark}"
