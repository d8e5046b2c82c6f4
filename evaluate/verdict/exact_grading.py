"""Grades of the limits whose figures are compared as they are: size, latency, CAM drift and the worst slice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluate.number_text import milliseconds_text
from evaluate.statistics.slices import SMALLEST_SLICE
from evaluate.verdict.limit_range import is_lower_limit
from evaluate.verdict.verdict import Finding
from export.variant import DENSE

if TYPE_CHECKING:
    from engines.latency import BatchLatency, LatencyRecord
    from evaluate.record import VariantResult
    from evaluate.statistics.slices import Slice

EXACT_LIMITS = ("max_size_mib", "max_latency_ms", "max_cam_drift", "min_slice_auc", "max_slice_auc_drop")


def exact_finding(limit: str, allowed: float, variant: VariantResult) -> Finding | None:
    """Judges one of `EXACT_LIMITS`; None if it was not measured."""
    if limit == "max_size_mib":
        return _finding(limit, allowed, variant.size_mib, f"{variant.file} has {variant.size_mib:.2f} MiB", " MiB")
    if limit == "max_latency_ms":
        return _of_latency(allowed, variant)
    if limit == "max_cam_drift":
        return _of_cam(allowed, variant)
    return _of_slices(limit, allowed, variant)


def deciding_latency(variant: VariantResult) -> tuple[LatencyRecord, BatchLatency] | None:
    """Returns the latency that a limit is about: at the smallest batch, on a GPU if one was measured, the slowest."""
    measured = [
        (latency, min(latency.batches, key=lambda entry: entry.batch)) for latency in variant.latency if latency.batches
    ]
    on_gpu = [entry for entry in measured if not is_on_cpu(entry[0])]
    return max(on_gpu or measured, key=lambda entry: entry[1].latency.p95, default=None)


def is_on_cpu(latency: LatencyRecord) -> bool:
    """Tells whether times are those of a CPU."""
    return latency.device.upper().startswith("CPU")


def _of_latency(allowed: float, variant: VariantResult) -> Finding | None:
    deciding = deciding_latency(variant)
    if deciding is None:
        return None
    latency, batch = deciding
    p95 = batch.latency.p95
    what = f"p95 {milliseconds_text(p95)} ms at batch {batch.batch} by {latency.backend} on {latency.device}"
    caution = "; measured on a CPU, which says nothing about a GPU" if is_on_cpu(latency) else ""
    return _finding("max_latency_ms", allowed, p95, what, " ms", caution)


def _of_cam(allowed: float, variant: VariantResult) -> Finding | None:
    if variant.source == DENSE:
        # No arithmetic of the engine takes part: maps are those of the model that a graph was exported from.
        reason = "its source model is the baseline's own, so its maps are, too"
        return Finding("max_cam_drift", allowed, 0.0, None, "PASS", reason)
    agreement = variant.cam_agreement
    if agreement is None:
        return None
    what = f"1 - correlation of the maps is {agreement.drift:.4f} on {agreement.videos:,} videos"
    return _finding("max_cam_drift", allowed, agreement.drift, what)


def worst_slice(limit: str, variant: VariantResult) -> Slice | None:
    """Returns the slice that a limit on slices is about, among those large enough; None for another limit."""
    slices = variant.statistics.slices if variant.statistics else ()
    large = [part for part in slices if part.fakes + part.reals >= SMALLEST_SLICE]
    if limit == "min_slice_auc":
        return min(large, key=lambda part: part.auc, default=None)
    if limit == "max_slice_auc_drop":
        compared = [(part.auc_diff, part) for part in large if part.auc_diff is not None]
        return min(compared, key=lambda entry: entry[0])[1] if compared else None
    return None


def _of_slices(limit: str, allowed: float, variant: VariantResult) -> Finding | None:
    worst = worst_slice(limit, variant)
    if worst is None:
        return None
    if limit == "min_slice_auc":
        return _finding(limit, allowed, worst.auc, f"AUC {worst.auc:.4f} of the worst slice, {slice_text(worst)}")
    drop = 0.0 - (worst.auc_diff or 0.0)
    verb = "loses" if drop >= 0 else "gains"
    return _finding(limit, allowed, drop, f"the worst slice, {slice_text(worst)}, {verb} {abs(drop):.4f} of AUC")


def slice_text(part: Slice) -> str:
    """Names a slice and says how large it is, as in `folder YouTube-real (0 fakes, 38 reals)`."""
    return f"{part.attribute} {part.value} ({part.fakes:,} fakes, {part.reals:,} reals)"


def _finding(limit: str, allowed: float, measured: float, what: str, unit: str = "", caution: str = "") -> Finding:
    kept = measured >= allowed if is_lower_limit(limit) else measured <= allowed
    where = "within" if kept else "below" if is_lower_limit(limit) else "beyond"
    reason = f"{what}, {where} the limit of {allowed:g}{unit}{caution}"
    return Finding(limit, allowed, measured, None, "PASS" if kept else "FAIL", reason)
