"""Limits on something that a report does not hold: neither kept nor missed, but to be measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluate.statistics.slices import SMALLEST_SLICE
from evaluate.verdict.verdict import Finding

if TYPE_CHECKING:
    from evaluate.record import ReportRecord, VariantResult

EVALUATE = "evaluate-engines RUN --test DIR"
_OWN_LIMITS = ("min_auc", "max_false_alarms", "max_missed_fakes", "min_slice_auc")


def not_measured_finding(record: ReportRecord, variant: VariantResult, limit: str, allowed: float) -> Finding:
    """Says what is missing, and which command measures it."""
    reason, next_step = _missing(record, variant, limit)
    return Finding(limit, allowed, None, None, "INCONCLUSIVE", reason, next_step)


def _missing(record: ReportRecord, variant: VariantResult, limit: str) -> tuple[str, str]:
    if limit == "max_latency_ms":
        return (
            "its latency was not measured",
            f"run {EVALUATE} --latency on the device that the engine is for",
        )
    if limit == "max_cam_drift":
        return "its class-activation maps were not compared with the baseline's", f"run {EVALUATE} again"
    if variant.statistics is None:
        return "the report holds no scores of it", f"run {EVALUATE} again"
    if limit not in _OWN_LIMITS and record.baseline is None:
        return (
            "no baseline was evaluated to compare it with",
            f"build one with build-engines --variants baseline {variant.name}, then run {EVALUATE} again",
        )
    if limit in ("min_slice_auc", "max_slice_auc_drop"):
        return (
            f"no slice of the test set has {SMALLEST_SLICE} videos or more",
            "evaluate a test set with more videos of each folder and person",
        )
    return "the report does not hold it", f"run {EVALUATE} again"
