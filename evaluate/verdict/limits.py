"""Limits of a sign-off, as `limits.toml` states them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Limits:
    """What a variant must keep; None means no such limit.

    Attributes:
        max_size_mib: Size of the engine's file, in MiB.
        min_auc: AUC of the videos.
        max_auc_drop: Loss of AUC against the baseline: the margin of non-inferiority.
        max_relative_auc_drop: The same as a share of the baseline's AUC.
        max_error_growth: Growth of 1 - AUC as a share of the baseline's 1 - AUC.
        max_flips: Share of the videos whose decision at the frozen threshold (0.5 without one) differs.
        max_false_alarms: Share of the reals called fake at the frozen threshold (0.5 without one).
        max_missed_fakes: Share of the fakes called real, likewise.
        max_latency_ms: 95th percentile of the latency at the smallest batch measured, in ms.
        max_cam_drift: 1 - correlation of the class-activation maps with the baseline's.
        min_slice_auc: AUC of the worst slice.
        max_slice_auc_drop: Largest loss of AUC of any slice.
    """

    max_size_mib: float | None = None
    min_auc: float | None = None
    max_auc_drop: float | None = None
    max_relative_auc_drop: float | None = None
    max_error_growth: float | None = None
    max_flips: float | None = None
    max_false_alarms: float | None = None
    max_missed_fakes: float | None = None
    max_latency_ms: float | None = None
    max_cam_drift: float | None = None
    min_slice_auc: float | None = None
    max_slice_auc_drop: float | None = None


DEFAULT_LIMITS = Limits(max_auc_drop=0.01, max_flips=0.02)


@dataclass(frozen=True)
class LimitsFile:
    """Limits for all variants, and those of single ones.

    Attributes:
        common: For every variant.
        of_variant: Name -> limits that replace the common ones, field by field.
        candidates: Variants that the verdict is about; empty means all but the baseline.
        confidence: Of every bound that a grade rests on.
        source: Where they were read from, for the report.
    """

    common: Limits = DEFAULT_LIMITS
    of_variant: dict[str, Limits] = field(default_factory=dict)
    candidates: tuple[str, ...] = ()
    confidence: float = 0.95
    source: str = "default limits"

    def limits_of(self, variant: str) -> Limits:
        """Returns the limits of a variant."""
        raise NotImplementedError


def limits_from_file(path: Path) -> LimitsFile:
    """Reads limits.toml.

    Raises:
        DataError: The file is missing or no TOML, or has an unknown key or a value out of range.
    """
    raise NotImplementedError
