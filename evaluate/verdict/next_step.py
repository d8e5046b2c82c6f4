"""What most likely mends a limit that is missed, from what the report holds, by options of our commands."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from evaluate.number_text import milliseconds_text, percent_text
from evaluate.verdict.accuracy_step import accuracy_step, prune_less_step
from evaluate.verdict.auc_grading import AUC_DROP_LIMITS
from evaluate.verdict.exact_grading import deciding_latency, exact_finding, is_on_cpu, slice_text, worst_slice
from evaluate.verdict.not_measured import EVALUATE
from evaluate.verdict.share_grading import SHARE_LIMITS, deciding_point
from export.variant import DENSE

if TYPE_CHECKING:
    from evaluate.record import ReportRecord, VariantResult
    from evaluate.statistics.operating_point import OperatingPoint
    from evaluate.verdict.verdict import Finding

_OWN_LIMITS = ("min_auc", "max_false_alarms", "max_missed_fakes", "min_slice_auc")


def next_step(record: ReportRecord, variant: VariantResult, finding: Finding) -> str:
    """Returns what to do about a finding that is FAIL, or INCONCLUSIVE for another reason than too few videos."""
    if finding.limit == "max_size_mib":
        return _take_another(record, variant, finding) or _make_smaller(variant)
    if finding.limit == "max_latency_ms":
        return _faster(record, variant, finding)
    if finding.limit in AUC_DROP_LIMITS and finding.measured is None:
        return "state max_auc_drop instead"
    return _more_accurate(record, variant, finding)


def _more_accurate(record: ReportRecord, variant: VariantResult, finding: Finding) -> str:
    statistics = variant.statistics
    if statistics is not None and statistics.auc.quoted.high < 0.5:
        return "its scores rank reals above fakes; check fake_index of the model file, the labels, and build it anew"
    if finding.limit in SHARE_LIMITS and (step := _other_threshold(record, variant, finding)):
        return step
    baseline = record.baseline
    if baseline is not None and finding.limit in _OWN_LIMITS and _misses_too(baseline, finding):
        return "the baseline misses it, too, so compression is not the cause: train the detector further"
    # Maps are those of the source model, before any rounding.
    step = prune_less_step(variant) if finding.limit == "max_cam_drift" else accuracy_step(record, variant)
    worst = worst_slice(finding.limit, variant)
    return f"look at {slice_text(worst)} first; {step}" if worst is not None else step


def _other_threshold(record: ReportRecord, variant: VariantResult, finding: Finding) -> str:
    """Says whether scores that only shifted keep the limit at a threshold of their own."""
    statistics, point = variant.statistics, deciding_point(variant)
    refitted = statistics.at("refitted") if statistics else None
    if statistics is None or point is None:
        return ""
    if refitted is not None:
        share = _share_at(record, variant, refitted, finding.limit)
        if share is None or share > finding.allowed:
            return ""
        return (
            f"ship the refitted threshold {refitted.threshold:.4f}, which keeps this limit with {percent_text(share)} "
            f"(false alarms {percent_text(refitted.false_alarms.share)}, missed fakes "
            f"{percent_text(refitted.missed_fakes.share)})"
        )
    lost = -statistics.difference.value if statistics.difference else 0.0
    if lost <= record.stable_auc_drop:
        return f"its ranking is intact, so fit a threshold to its own scores: {EVALUATE} --validation DIR"
    return ""


def _share_at(record: ReportRecord, variant: VariantResult, point: OperatingPoint, limit: str) -> float | None:
    if limit == "max_false_alarms":
        return point.false_alarms.share
    if limit == "max_missed_fakes":
        return point.missed_fakes.share
    baseline = record.baseline
    shipped = deciding_point(baseline) if baseline is not None else None
    if baseline is None or shipped is None or baseline.statistics is None or variant.statistics is None:
        return None
    before = np.array(baseline.statistics.scores) >= shipped.threshold
    return float(np.mean(before != (np.array(variant.statistics.scores) >= point.threshold)))


def _misses_too(baseline: VariantResult, finding: Finding) -> bool:
    if finding.limit == "min_auc":
        return baseline.auc < finding.allowed
    if finding.limit == "min_slice_auc":
        of_slice = exact_finding(finding.limit, finding.allowed, baseline)
        return of_slice is not None and of_slice.grade == "FAIL"
    point = deciding_point(baseline)
    if point is None:
        return False
    share = point.false_alarms if finding.limit == "max_false_alarms" else point.missed_fakes
    return share.share > finding.allowed


def _take_another(record: ReportRecord, variant: VariantResult, finding: Finding) -> str:
    """Names the variant of the highest AUC that keeps a limit on size or latency as it is."""
    kept = []
    for other in record.variants:
        found = exact_finding(finding.limit, finding.allowed, other)
        if other is not variant and found is not None and found.grade == "PASS" and found.measured is not None:
            kept.append((other.auc, other.name, found.measured))
    if not kept:
        return ""
    auc, name, measured = max(kept)
    is_size = finding.limit == "max_size_mib"
    figure = f"{measured:.2f} MiB" if is_size else f"{milliseconds_text(measured)} ms"
    return f"take {name}, which keeps it with {figure} and AUC {auc:.4f}"


def _make_smaller(variant: VariantResult) -> str:
    if variant.precision == "FP32":
        return "build it in half the size: build-engines --precision fp16"
    if variant.precision == "FP16":
        return "build it in half the size, build-engines --precision int8, or with fewer parameters, --pruning s50"
    if variant.source == DENSE:
        return "remove parameters, build-engines --pruning s50, or allow INT8 less, --max-size-mib MIB"
    if variant.source.startswith("s"):
        return "remove more parameters: build-engines --pruning sNN with a larger NN"
    return "zeros keep the size; remove parameters instead: build-engines --pruning s50"


def _faster(record: ReportRecord, variant: VariantResult, finding: Finding) -> str:
    deciding = deciding_latency(variant)
    if deciding is not None and is_on_cpu(deciding[0]):
        return f"measure on the GPU that the engine is for: {EVALUATE} --backend tensorrt --latency"
    if deciding is not None and deciding[1].batch > 1:
        return f"measure batch 1, which takes less time: {EVALUATE} --latency --latency-batches 1"
    if another := _take_another(record, variant, finding):
        return another
    if variant.precision == "FP32":
        return "compute in half precision: build-engines --precision fp16"
    if variant.precision == "FP16":
        return "compute in INT8, build-engines --precision int8, or remove channels, --pruning s50"
    if variant.int8 is not None and variant.int8.recipe in ("accurate", "fast"):
        return "compute more of it in INT8, build-engines --int8-recipe full, or remove channels, --pruning s50"
    if variant.precision == "INT8 weights":
        return "its arithmetic is FP16; compute in INT8: build-engines --precision int8"
    return "remove channels, build-engines --pruning s50, or search longer for kernels, --optimization-level 5"
