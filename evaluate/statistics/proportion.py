"""A share of a count, with its interval."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

from evaluate.statistics.interval import CONFIDENCE, Interval

if TYPE_CHECKING:
    from evaluate.statistics.clustered_count import ClusteredCount


@dataclass(frozen=True)
class Proportion:
    """A share such as the rate of false positives.

    Attributes:
        count: How many.
        total: Of how many.
        interval: 95 % interval of the share (Wilson, Journal of the American Statistical Association 1927), by the
            effective number of videos where they fall into clusters (Korn and Graubard, Survey Methodology 1998).
    """

    count: int
    total: int
    interval: Interval

    @property
    def share(self) -> float:
        """Count over total; 0.0 of nothing."""
        return self.count / self.total if self.total else 0.0


def proportion(counted: ClusteredCount, confidence: float = CONFIDENCE) -> Proportion:
    """Returns a share with its two-sided Wilson interval by the effective number of videos.

    It is [0, 1] of nothing and of a single cluster of several videos. Among clusters its upper end is never below that
    of none, nor its lower end above that of all; see `proportion_bounds`.

    Raises:
        ValueError: The count is not in 0 to total, or the confidence not in (0, 1).
    """
    _require_share(counted, confidence)
    interval = Interval(0.0, 1.0)
    if not counted.is_uninformative:
        side = (1 + confidence) / 2
        z = NormalDist().inv_cdf(side)
        interval = _wilson(counted.share, counted.effective_total(side), z)
        if not counted.is_independent:
            none, every = (_wilson(share, counted.effective_total_of_none(side), z) for share in (0.0, 1.0))
            interval = Interval(min(interval.low, every.low), max(interval.high, none.high))
    return Proportion(counted.count, counted.total, interval)


def proportion_bounds(counted: ClusteredCount, confidence: float = CONFIDENCE) -> Interval:
    """Returns a lower and an upper bound of a share, each of which alone holds at this confidence.

    They are the exact ones (Clopper and Pearson, Biometrika 1934) of as many independent videos as the clusters are
    worth (Korn and Graubard, Survey Methodology 1998). Where all videos are independent, a bound is wrong with a chance
    of at most 1 - confidence whatever the share is. A verdict needs that. Wilson's interval is shorter because it holds
    only on average, and its one-sided bounds do not even do that where the share is near 0 or 1 (Cai, Journal of
    Statistical Planning and Inference 2005), which is where limits lie.

    An event more never brings the upper bound below that of none: a few events by themselves look independent, because
    clusters show only where events meet in them. Likewise the lower bound of all.

    Returns:
        The bounds; the lower one of 0 and the upper one of all are 0 and 1, and so are those of nothing and of a single
        cluster of several videos.

    Raises:
        ValueError: As for `proportion`.
    """
    _require_share(counted, confidence)
    if counted.is_uninformative:
        return Interval(0.0, 1.0)
    effective = counted.effective_total(confidence)
    bounds = _clopper_pearson(counted.count * effective / counted.total, effective, confidence)
    if counted.is_independent:
        return bounds
    effective = counted.effective_total_of_none(confidence)
    none, every = (_clopper_pearson(count, effective, confidence) for count in (0.0, effective))
    return Interval(min(bounds.low, every.low), max(bounds.high, none.high))


def _wilson(share: float, total: float, z: float) -> Interval:
    weight = z * z / total
    centre = (share + weight / 2) / (1 + weight)
    half = z / (1 + weight) * math.sqrt(share * (1 - share) / total + weight / (4 * total))
    # Rounding must not move an end that the formula puts at exactly 0 or 1.
    return Interval(centre - half if share > 0 else 0.0, centre + half if share < 1 else 1.0)


def _clopper_pearson(count: float, total: float, confidence: float) -> Interval:
    from scipy.special import betaincinv

    low = float(betaincinv(count, total - count + 1, 1 - confidence)) if count > 0 else 0.0
    high = float(betaincinv(count + 1, total - count, confidence)) if count < total else 1.0
    return Interval(low, high)


def _require_share(counted: ClusteredCount, confidence: float) -> None:
    if not 0 <= counted.count <= counted.total:
        raise ValueError(f"{counted.count} of {counted.total} is no share")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence {confidence}; expected between 0 and 1, such as 0.95")
