"""Which values a limit may have, and the nearest name of what was mistyped."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_LARGEST = 1e9


@dataclass(frozen=True)
class LimitRange:
    """Values that a limit may have.

    Attributes:
        low: Smallest.
        high: Largest.
        words: What is expected, for messages.
        is_open: Whether the two ends themselves are left out.
    """

    low: float
    high: float
    words: str
    is_open: bool = False

    def __contains__(self, value: object) -> bool:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        return self.low < value < self.high if self.is_open else self.low <= value <= self.high


_SHARE = LimitRange(0.0, 1.0, "a share from 0 to 1 (0.02 is 2 %)")
# A margin of nothing cannot be shown to be kept by any number of videos.
_MARGIN = LimitRange(0.0, 1.0, "a number between 0 and 1 (0.01 is one hundredth of AUC)", is_open=True)
_POSITIVE = LimitRange(0.0, _LARGEST, "a number above 0", is_open=True)
RANGES = {
    "max_size_mib": _POSITIVE,
    "min_auc": LimitRange(0.0, 1.0, "an AUC from 0 to 1"),
    "max_auc_drop": _MARGIN,
    "max_relative_auc_drop": LimitRange(0.0, 1.0, "a number between 0 and 1 (0.01 is 1 %)", is_open=True),
    "max_error_growth": LimitRange(0.0, 100.0, "a number between 0 and 100 (0.1 is 10 % more error)", is_open=True),
    "max_flips": _SHARE,
    "max_false_alarms": _SHARE,
    "max_missed_fakes": _SHARE,
    "max_latency_ms": _POSITIVE,
    "max_cam_drift": LimitRange(0.0, 2.0, "a number from 0 to 2 (1 - correlation)"),
    "min_slice_auc": LimitRange(0.0, 1.0, "an AUC from 0 to 1"),
    "max_slice_auc_drop": LimitRange(0.0, 1.0, "a number from 0 to 1"),
}
# One-sided bounds are the ends of a two-sided interval, which is of no use below one half.
CONFIDENCE_RANGE = LimitRange(0.75, 0.9999, "a number above 0.75 and below 0.9999 (0.95 is usual)", is_open=True)


def nearest_name(name: str, known: Iterable[str]) -> str:
    """Returns what a mistyped name most likely means, or the names that there are: the end of a message."""
    names = list(known)
    near = get_close_matches(name[:60], names, n=1, cutoff=0.6)
    return f"did you mean {near[0]}?" if near else f"there are {', '.join(names)}" if names else "there is none"


def is_lower_limit(limit: str) -> bool:
    """Tells whether a figure must not be below the limit; else it must not be above."""
    return limit.startswith("min_")
