"""Variants against the baseline, and the three findings the report opens with."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from evaluate.record import BASELINE, Comparison, ReportRecord, VariantResult

if TYPE_CHECKING:
    from collections.abc import Sequence

DEFAULT_STABLE_AUC_DROP = 0.01


@dataclass(frozen=True)
class Insights:
    """The variants worth naming; None where no variant qualifies.

    Attributes:
        highest_auc: Highest AUC; the first of equals.
        best_compression: Smallest of the compressed variants that are stable.
        largest_drop: Lowest AUC among the variants that lost any against the baseline.
    """

    highest_auc: VariantResult | None
    best_compression: VariantResult | None
    largest_drop: VariantResult | None


def compared_variants(
    variants: Sequence[VariantResult], stable_auc_drop: float = DEFAULT_STABLE_AUC_DROP
) -> tuple[VariantResult, ...]:
    """Fills in the comparison of each variant; leaves it None where there is no baseline."""
    baseline = next((variant for variant in variants if variant.name == BASELINE), None)
    if baseline is None:
        return tuple(replace(variant, comparison=None) for variant in variants)
    return tuple(replace(v, comparison=_comparison(v, baseline, stable_auc_drop)) for v in variants)


def insights_from_record(record: ReportRecord) -> Insights:
    """Picks the variants worth naming."""
    variants = record.variants
    others = [(v, v.comparison) for v in variants if v.comparison and v.comparison.status != "Baseline"]
    stable = [v for v, comparison in others if comparison.status == "Stable" and comparison.reduction > 0]
    dropped = [(v, comparison.auc_diff) for v, comparison in others if comparison.auc_diff < 0]
    return Insights(
        highest_auc=max(variants, key=lambda v: v.auc, default=None),
        best_compression=min(stable, key=lambda v: (v.size_bytes, -v.auc), default=None),
        largest_drop=min(dropped, key=lambda pair: pair[1])[0] if dropped else None,
    )


def _comparison(variant: VariantResult, baseline: VariantResult, stable_auc_drop: float) -> Comparison:
    reduction = 1.0 - variant.size_bytes / baseline.size_bytes
    auc_diff = variant.auc - baseline.auc
    if variant.name == BASELINE:
        return Comparison("Baseline", reduction, auc_diff)
    return Comparison("Stable" if auc_diff >= -stable_auc_drop else "Degraded", reduction, auc_diff)
