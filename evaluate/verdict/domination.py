"""Variants that nobody needs, because another one is smaller, faster or better, and in nothing worse."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engines.latency import UNSTABLE_VARIATION
from evaluate.latency_comparison import latency_settings, rows_at
from evaluate.number_text import milliseconds_text
from evaluate.record import BASELINE
from evaluate.statistics.auc_interval import auc_differences

if TYPE_CHECKING:
    from evaluate.record import ReportRecord, VariantResult
    from evaluate.statistics.noninferiority import Grade
    from evaluate.verdict.evidence import Evidence
    from evaluate.verdict.verdict import Verdict

# Files that differ by less hold the same weights, and a few bytes of another name or kernel.
NOTEWORTHY_SIZE = 0.01
_INT8 = ("INT8", "INT8 weights")
_DECIMALS = 4


def dominated_by(record: ReportRecord, evidence: Evidence, variant: VariantResult) -> str:
    """Returns the variant to take instead, or an empty text if there is a reason to take this one.

    Another variant dominates it if it is no larger, no slower and no worse, and better in one of them. Sizes within
    1 %, median latencies within 2.5 % (trtexec's own bound of stability) and AUCs that print alike are equal, and a
    better AUC counts if the test set shows it (one-sided). Latency counts where both were measured alike on a GPU;
    without it, arithmetic of another kind may be faster, and only INT8 is called dominated by the FP16 or FP32 of the
    same model, because a larger file is not what rounding is for. The baseline is never dominated: it is there to
    compare with.
    """
    if variant.name == BASELINE:
        return ""
    dominating = [
        other for other in record.variants if other is not variant and _dominates(record, evidence, other, variant)
    ]
    best = max(dominating, key=lambda o: (o.source == variant.source, o.auc, -o.size_bytes), default=None)
    return best.name if best else ""


def domination_sentences(record: ReportRecord, verdict: Verdict) -> tuple[str, ...]:
    """Says of every dominated variant by what, and what to ship instead if that is a candidate."""
    variants = {variant.name: variant for variant in record.variants}
    grades = {entry.variant: entry.grade for entry in verdict.variants if entry.is_candidate}
    return tuple(
        _sentence(record, variants[entry.variant], variants[entry.dominated_by], grades.get(entry.dominated_by))
        for entry in verdict.variants
        if entry.dominated_by
    )


def _dominates(record: ReportRecord, evidence: Evidence, one: VariantResult, other: VariantResult) -> bool:
    is_alike = one.precision == other.precision or _only_rounds(one, other)
    if not is_alike and _medians(record, one, other) is None:
        return False
    if _is_smaller(other, one) or _is_faster(record, other, one) or not _is_no_worse(evidence, one, other):
        return False
    return _is_smaller(one, other) or _is_faster(record, one, other) or _is_shown_better(evidence, one, other)


def _only_rounds(one: VariantResult, other: VariantResult) -> bool:
    """Tells whether the other one is the INT8 of what this one computes in floating point."""
    return other.precision in _INT8 and one.precision not in _INT8 and one.source == other.source


def _is_smaller(one: VariantResult, other: VariantResult) -> bool:
    return one.size_bytes < (1 - NOTEWORTHY_SIZE) * other.size_bytes


def _is_faster(record: ReportRecord, one: VariantResult, other: VariantResult) -> bool:
    medians = _medians(record, one, other)
    return medians is not None and medians[0] < (1 - UNSTABLE_VARIATION) * medians[1]


def _medians(record: ReportRecord, one: VariantResult, other: VariantResult) -> tuple[float, float] | None:
    """Returns both median latencies at the smallest batch of the first GPU where both were measured."""
    for setting in latency_settings(record):
        for batch in setting.batches:
            found = {row.variant.name: row.measured.latency.median for row in rows_at(setting, batch)}
            if not setting.is_on_cpu and one.name in found and other.name in found:
                return found[one.name], found[other.name]
    return None


def _is_no_worse(evidence: Evidence, one: VariantResult, other: VariantResult) -> bool:
    if _printed(one) >= _printed(other):
        return True
    return _only_rounds(one, other) and not _is_shown_better(evidence, other, one)


def _is_shown_better(evidence: Evidence, one: VariantResult, other: VariantResult) -> bool:
    """Tells whether the test set shows that one AUC is higher; without its scores, whether it prints higher."""
    if one.name not in evidence.scores or other.name not in evidence.scores:
        return _printed(one) > _printed(other)
    (difference,) = auc_differences(
        evidence.is_fake,
        evidence.rows([one.name]),
        evidence.scores[other.name],
        evidence.clusters,
        2 * evidence.confidence - 1,
    )
    return difference.quoted.low > 0


def _printed(variant: VariantResult) -> float:
    return round(variant.auc, _DECIMALS)


def _sentence(record: ReportRecord, variant: VariantResult, by: VariantResult, grade: Grade | None) -> str:
    drawbacks = []
    if _is_smaller(by, variant):
        drawbacks.append(f"larger than {by.name} ({variant.size_mib:.2f} against {by.size_mib:.2f} MiB)")
    medians = _medians(record, variant, by)
    if medians is not None and _is_faster(record, by, variant):
        mine, its = map(milliseconds_text, medians)
        drawbacks.append(f"slower than {by.name} ({mine} against {its} ms)")
    advice = f": ship {by.name}" if grade == "PASS" else f": rather go on with {by.name}, which is {grade}"
    compared = "" if medians is not None else " (latency was not compared on a GPU)"
    equal = f"sizes within {100 * NOTEWORTHY_SIZE:g}%"
    no_gain = f"not noticeably smaller than {by.name} ({equal} count as equal)"
    if medians is not None:
        equal += f" and latencies within {100 * UNSTABLE_VARIATION:g}%"
        no_gain = f"neither noticeably smaller nor faster than {by.name} ({equal} count as equal)"
    what = " and ".join(drawbacks) or no_gain
    aucs = f"AUC {variant.auc:.{_DECIMALS}f} against {by.auc:.{_DECIMALS}f}"
    return f"{variant.name} is {what} and not better ({aucs}){compared}{advice if grade else ''}"
