"""The report's section on thresholds: where they come from, and what each of them decides."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluate.number_text import proportion_text
from evaluate.sections.interval_section import with_statistics
from evaluate.sections.markdown_table import escaped, markdown_table

if TYPE_CHECKING:
    from evaluate.record import ReportRecord, VariantResult
    from evaluate.sections.markdown_table import Alignment
    from evaluate.statistics.operating_point import OperatingPoint, ThresholdOrigin

_HEADINGS: dict[ThresholdOrigin, str] = {
    "default": "At 0.5",
    "frozen": "At the Baseline's Threshold (Frozen)",
    "refitted": "At Each Model's Own Threshold (Refitted)",
}
_MEANINGS: dict[ThresholdOrigin, str] = {
    "default": "The threshold of section 3.",
    "frozen": "Fitted to the baseline's scores of the validation set and the same for all: what happens if an engine "
    "takes the baseline's place and nothing else is changed. Limits on decisions are graded at this one.",
    "refitted": "Fitted to each model's own scores of the validation set: what happens if the threshold moves with the "
    "engine. Where a model is much better here than above, its scores have shifted rather than lost their order. The "
    "engine's sidecar has this one as `recommended_threshold`; no limit is checked at it.",
}
_RIGHT: tuple[Alignment, ...] = ("right",) * 8


def threshold_lines(record: ReportRecord, number: int) -> list[str]:
    """Returns the section's lines; none if no variant has statistics."""
    if not with_statistics(record):
        return []
    lines = [f"## {number}. Thresholds", *_origin_lines(record), ""]
    for origin, heading in _HEADINGS.items():
        points = [(variant, point) for variant, stats in with_statistics(record) if (point := stats.at(origin))]
        if points:
            lines += [f"### {heading}", "", _MEANINGS[origin], "", *_table(points), ""]
    return lines


def _origin_lines(record: ReportRecord) -> list[str]:
    lines = [
        "A score of at least the threshold means fake. Missed fakes are the share of the fakes called real (APCER in "
        "ISO/IEC 30107-3), false alarms the share of the reals called fake (BPCER); in brackets, the 95% interval by "
        "Wilson, in which the videos of one person count only as far as they are decided independently of each other.",
        "",
    ]
    validation = record.validation
    if validation is None:
        return [
            *lines,
            "There was no validation set, so that only 0.5 is judged; evaluate-engines --validation fits thresholds.",
        ]
    lines.append(
        f"Thresholds were fitted to {validation.fake_videos} fake and {validation.real_videos} real videos of "
        f"{escaped(validation.root)} (sha256 {validation.sha256[:16]}), not to the test set. Fitted: the "
        "largest sum of both classes' accuracies (Youden)."
    )
    if validation.is_calibration_set:
        lines.append(
            "\n**Caution:** INT8 was calibrated on these videos, too, so that they flatter INT8; a validation set of "
            "its own is better."
        )
    return lines


def _table(points: list[tuple[VariantResult, OperatingPoint]]) -> list[str]:
    header = ["Model", "Threshold", "TP", "TN", "FP", "FN", "Missed fakes", "False alarms", "Accuracy"]
    return markdown_table(header, ("left", *_RIGHT), [_row(variant, point) for variant, point in points])


def _row(variant: VariantResult, point: OperatingPoint) -> list[str]:
    counts = point.confusion
    return [
        f"**{escaped(variant.name)}**",
        f"{point.threshold:.4g}",
        *map(str, (counts.tp, counts.tn, counts.fp, counts.fn)),
        proportion_text(point.missed_fakes),
        proportion_text(point.false_alarms),
        f"{counts.accuracy:.3f}",
    ]
