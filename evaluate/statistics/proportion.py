"""A share of a count, with its interval."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

from evaluate.statistics.interval import CONFIDENCE, Interval


@dataclass(frozen=True)
class Proportion:
    """A share such as the rate of false positives.

    Attributes:
        count: How many.
        total: Of how many.
        interval: 95 % interval of the share (Wilson, Journal of the American Statistical Association 1927).
    """

    count: int
    total: int
    interval: Interval

    @property
    def share(self) -> float:
        """Count over total; 0.0 of nothing."""
        return self.count / self.total if self.total else 0.0


def proportion(count: int, total: int, confidence: float = CONFIDENCE) -> Proportion:
    """Returns a share with its two-sided Wilson interval; of nothing, that is [0, 1].

    Raises:
        ValueError: The count is not in 0 to total, or the confidence not in (0, 1).
    """
    _require_share(count, total, confidence)
    if total == 0:
        return Proportion(count, total, Interval(0.0, 1.0))
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share, weight = count / total, z * z / total
    centre = (share + weight / 2) / (1 + weight)
    half = z / (1 + weight) * math.sqrt(share * (1 - share) / total + weight / (4 * total))
    # Rounding must not move an end that the formula puts at exactly 0 or 1.
    low = centre - half if count > 0 else 0.0
    high = centre + half if count < total else 1.0
    return Proportion(count, total, Interval(low, high))


def proportion_bounds(count: int, total: int, confidence: float = CONFIDENCE) -> Interval:
    """Returns a lower and an upper bound of a share, each of which alone holds at this confidence.

    They are exact (Clopper and Pearson, Biometrika 1934): whatever the share is, a bound is wrong with a chance of at
    most 1 - confidence. A verdict needs that. Wilson's interval is shorter because it holds only on average, and its
    one-sided bounds do not even do that where the share is near 0 or 1 (Cai, Journal of Statistical Planning and
    Inference 2005), which is where limits lie.

    Returns:
        The bounds; the lower one of 0 and the upper one of all are 0 and 1, and so are those of nothing.

    Raises:
        ValueError: As for `proportion`.
    """
    from scipy.special import betaincinv

    _require_share(count, total, confidence)
    low = float(betaincinv(count, total - count + 1, 1 - confidence)) if count > 0 else 0.0
    high = float(betaincinv(count + 1, total - count, confidence)) if count < total else 1.0
    return Interval(low, high)


def _require_share(count: int, total: int, confidence: float) -> None:
    if not 0 <= count <= total:
        raise ValueError(f"{count} of {total} is no share")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence {confidence}; expected between 0 and 1, such as 0.95")
