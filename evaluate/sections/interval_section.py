"""The report's section on the AUC: how well the test set determines it, and its difference to the baseline's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluate.number_text import diff_interval_text, diff_text, interval_text
from evaluate.sections.markdown_table import escaped, image_link, markdown_table
from evaluate.sections.verdict_section import finding_of

if TYPE_CHECKING:
    from evaluate.record import ReportRecord, VariantResult, VariantStatistics
    from evaluate.sections.markdown_table import Alignment
    from evaluate.statistics.auc_interval import AucDifference, AucEstimate
    from evaluate.verdict.verdict import Verdict

DIFFERENCE_PLOT = "auc_differences.png"
MARGIN_LIMIT = "max_auc_drop"
_ALIGNMENTS: tuple[Alignment, ...] = ("left", "right", "right", "right", "right", "left", "right", "left")


def interval_lines(record: ReportRecord, number: int, verdict: Verdict | None = None) -> list[str]:
    """Returns the section's lines; none if no variant has statistics."""
    rows = [_row(variant, stats, verdict) for variant, stats in with_statistics(record)]
    if not rows:
        return []
    header = ["Model", "AUC", "95% interval", "Diff", "95% interval of Diff", "Reading", "Margin", "Non-inferiority"]
    lines = [f"## {number}. AUC with Intervals", *markdown_table(header, _ALIGNMENTS, rows), "", *_notes(record)]
    if has_differences(record):
        lines += [*_difference_notes(verdict), "", image_link("AUC differences", DIFFERENCE_PLOT)]
    return [*lines, ""]


def with_statistics(record: ReportRecord) -> list[tuple[VariantResult, VariantStatistics]]:
    """Returns the variants that have statistics, with them."""
    return [(variant, variant.statistics) for variant in record.variants if variant.statistics]


def has_differences(record: ReportRecord) -> bool:
    """Tells whether a variant was compared with the baseline."""
    return any(stats.difference for _, stats in with_statistics(record))


def _row(variant: VariantResult, stats: VariantStatistics, verdict: Verdict | None) -> list[str]:
    estimate, difference = stats.auc, stats.difference
    cells = [
        f"**{escaped(variant.name)}**",
        f"{estimate.value:.4f}",
        f"{interval_text(estimate.quoted)} {_by(estimate)}",
    ]
    if difference is None:
        return [*cells, *["N/A"] * 5]
    finding = finding_of(verdict, variant.name, MARGIN_LIMIT)
    graded = ["-", "-"] if finding is None else [f"{finding.allowed:g}", finding.grade]
    interval = f"{diff_interval_text(difference.quoted)} {_by(difference)}"
    return [*cells, diff_text(difference.value), interval, _reading(difference), *graded]


def _by(figure: AucEstimate | AucDifference) -> str:
    return "(D)" if figure.quoted == figure.delong else "(B)"


def _reading(difference: AucDifference) -> str:
    # By the ends as they are printed, so that a reader who sees 0 inside is not told otherwise.
    if round(difference.quoted.high, 4) < 0:
        return "AUC is lost"
    return "AUC is gained" if round(difference.quoted.low, 4) > 0 else "may be chance"


def _notes(record: ReportRecord) -> list[str]:
    clusters = len({video.cluster for video in record.videos})
    return [
        "With other videos of the same kind, the AUC would come out elsewhere in its 95% interval. D: by DeLong; B: "
        f"by a bootstrap of the {clusters} groups that the {len(record.videos)} videos fall into, where the videos of "
        "one person, or of two who are swapped with each other alone, are one group. The wider of the two is quoted."
    ]


def _difference_notes(verdict: Verdict | None) -> list[str]:
    notes = [
        "",
        "Diff compares two models on the same videos, so that its interval is much narrower than that of either AUC. "
        "Where it holds 0, the difference may be chance.",
    ]
    if verdict is not None:
        notes += [
            "",
            "Non-inferiority asks for more than that. PASS: a loss as large as the margin is ruled out. FAIL: a "
            "smaller loss is ruled out. INCONCLUSIVE: these videos decide neither. Its bound is one-sided, and "
            "corrected by Holm where several variants are judged at once, so that it is not the end of the 95% "
            "interval.",
        ]
    return notes
