"""The table's drawing of AUC differences: interval, zero and the allowed loss on one axis for all variants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evaluate.page.variant_row import VariantRow

# In allowed losses: a variant far beyond would make the others' intervals dots, so that its own is cut off.
_FURTHEST_LOSS, _FURTHEST_GAIN = 4.0, 2.0
_NEAREST_LOSS, _NEAREST_GAIN = 1.4, 0.5


@dataclass(frozen=True)
class DifferenceScale:
    """An axis of AUC differences.

    Attributes:
        low: Difference at its left end, negative.
        high: Difference at its right end, positive.
    """

    low: float
    high: float

    def at(self, difference: float) -> float:
        """Returns where a difference lies, in percent of the axis; at its end what is beyond it."""
        share = (difference - self.low) / (self.high - self.low)
        return round(100.0 * min(max(share, 0.0), 1.0), 2)


def difference_scale(rows: Sequence[VariantRow]) -> DifferenceScale | None:
    """Returns an axis that shows zero, every margin, and the intervals as far as they are near; None without any."""
    found = [row.variant.statistics.difference for row in rows if row.variant.statistics]
    intervals = [difference.quoted for difference in found if difference]
    margin = max((row.margin for row in rows if row.margin), default=0.01)
    if not intervals:
        return None
    loss = _furthest([-interval.low / margin for interval in intervals], _FURTHEST_LOSS)
    gain = _furthest([interval.high / margin for interval in intervals], _FURTHEST_GAIN)
    return DifferenceScale(
        low=-margin * max(1.1 * loss, _NEAREST_LOSS), high=margin * max(1.1 * gain, _NEAREST_GAIN)
    )


def _furthest(ends: Sequence[float], limit: float) -> float:
    """Returns the largest that is not cut off; 0.0 of none."""
    return max((end for end in ends if end <= limit), default=0.0)
