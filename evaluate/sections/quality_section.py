"""The report's section on the field's metrics, for videos and for single frames."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from evaluate.aggregation_text import aggregation_sentences
from evaluate.number_text import percent_text
from evaluate.sections.interval_section import with_statistics
from evaluate.sections.markdown_table import escaped, image_link, markdown_table

if TYPE_CHECKING:
    from evaluate.record import ReportRecord, VariantResult
    from evaluate.sections.markdown_table import Alignment
    from evaluate.statistics.quality import Quality

RELIABILITY_PLOT = "reliability_diagram.png"
_RIGHT: tuple[Alignment, ...] = ("right",) * 16


def quality_lines(record: ReportRecord, number: int) -> list[str]:
    """Returns the section's lines; none if no variant has statistics."""
    found = with_statistics(record)
    if not found:
        return []
    videos = [(variant, stats.quality) for variant, stats in found]
    frames = [(variant, stats.frame_quality) for variant, stats in found]
    return [
        f"## {number}. Metrics of Videos and Frames",
        "### Videos",
        "",
        f"{aggregation_sentences(record)} The AUCs and decisions of the other sections are those of videos, too.",
        "",
        *_table(videos),
        "",
        "### Frames",
        "",
        "The same of every frame by itself. Compare with a paper's frame-level figures only these.",
        "",
        *_table(frames),
        "",
        *_notes(record),
        "",
        image_link("Reliability diagram", RELIABILITY_PLOT),
        "",
        "Points above the diagonal: more of these videos are fake than their score says; below: fewer. Large points "
        "stand for many videos.",
        "",
    ]


def _table(rows: list[tuple[VariantResult, Quality]]) -> list[str]:
    rates = [recall.false_positive_rate for recall in rows[0][1].recalls]
    header = ["Model", "Samples", "AUC", "AP", "EER", *(f"TPR at {100 * rate:g}% FPR" for rate in rates)]
    header += ["Log loss", "Brier", "ECE"]
    return markdown_table(
        header, ("left", *_RIGHT[: len(header) - 1]), [_row(variant, quality) for variant, quality in rows]
    )


def _row(variant: VariantResult, quality: Quality) -> list[str]:
    return [
        f"**{escaped(variant.name)}**",
        f"{quality.samples:,}",
        f"{quality.auc:.4f}",
        f"{quality.average_precision:.4f}",
        percent_text(quality.equal_error_rate),
        *(percent_text(recall.true_positive_rate) for recall in quality.recalls),
        f"{quality.log_loss:.4f}",
        f"{quality.brier:.4f}",
        f"{quality.calibration_error:.4f}",
    ]


def _notes(record: ReportRecord) -> list[str]:
    allowed = math.floor(0.01 * record.dataset.real_videos)
    coarse = f" At 1% of {record.dataset.real_videos} real videos, {_alarms(allowed)}: read that column with care."
    return [
        "AP: average precision. EER: error rate at the threshold where both kinds of error are as frequent. TPR at "
        "FPR: share of the fakes found while at most so many of the reals are called fake; in the terms of ISO/IEC "
        f"30107-3, TPR is 1 - APCER and FPR is BPCER.{coarse if allowed < 10 else ''}",
        "",
        "Log loss, Brier score and ECE (expected calibration error) ask whether a score is a probability: 0 is "
        "best. They rise when compression shifts or squeezes scores, which AUC does not see, because it looks at "
        "their order only.",
    ]


def _alarms(allowed: int) -> str:
    return f"{allowed} false alarm is allowed" if allowed == 1 else f"{allowed} false alarms are allowed"
