"""Grades of the limits on shares: turned decisions, false alarms and missed fakes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluate.number_text import percent_text
from evaluate.statistics.proportion import proportion_bounds
from evaluate.verdict.grade_text import (
    MOST_VIDEOS,
    confidence_text,
    more_videos_text,
    stated_limit_text,
    undecided_text,
)
from evaluate.verdict.verdict import Finding

if TYPE_CHECKING:
    from evaluate.record import VariantResult
    from evaluate.statistics.operating_point import OperatingPoint
    from evaluate.statistics.proportion import Proportion

SHARE_LIMITS = ("max_flips", "max_false_alarms", "max_missed_fakes")
POWER = 0.80


def share_finding(limit: str, allowed: float, variant: VariantResult, confidence: float) -> Finding | None:
    """Judges one of `SHARE_LIMITS` by exact one-sided bounds; None if it was not measured."""
    statistics = variant.statistics
    if statistics is None:
        return None
    if limit == "max_flips":
        drift = statistics.drift
        if drift is None:
            return None
        what = f"decisions differ from the baseline's at {drift.threshold:.4f}"
        return _finding(limit, allowed, drift.flips.share, what, "videos", confidence)
    point = deciding_point(variant)
    if point is None:
        return None
    if limit == "max_false_alarms":
        what = f"reals are called fake at the {_threshold_text(point)}"
        return _finding(limit, allowed, point.false_alarms, what, "real videos", confidence)
    what = f"fakes are called real at the {_threshold_text(point)}"
    return _finding(limit, allowed, point.missed_fakes, what, "fake videos", confidence)


def deciding_point(variant: VariantResult) -> OperatingPoint | None:
    """Returns the operating point that limits are about: at the frozen threshold, or at 0.5 without one."""
    statistics = variant.statistics
    return (statistics.at("frozen") or statistics.at("default")) if statistics else None


def videos_that_decide(share: float, allowed: float, confidence: float) -> int | None:
    """Returns how many videos decide a limit with a chance of `POWER` if the true share is this one.

    It is the smallest number at which the count that is not exceeded (for a share below the limit), or not undercut
    (for one above it), with that chance has its bound on the right side of the limit. Counts are whole, so slightly
    more videos may decide slightly less often.

    Returns:
        The number; None if the share is the limit itself, or no number up to ten million decides.
    """
    if share == allowed:
        return None
    enough = 1
    while not _decides(enough, share, allowed, confidence):
        enough *= 2
        if enough > MOST_VIDEOS:
            return None
    too_few = enough // 2
    while enough - too_few > 1:
        middle = (enough + too_few) // 2
        enough, too_few = (middle, too_few) if _decides(middle, share, allowed, confidence) else (enough, middle)
    return enough


def _decides(videos: int, share: float, allowed: float, confidence: float) -> bool:
    from scipy.stats import binom

    if share < allowed:
        count = int(binom.ppf(POWER, videos, share))
        return proportion_bounds(count, videos, confidence).high <= allowed
    # The largest count that at least `POWER` of all draws reach.
    count = max(int(binom.ppf(1 - POWER, videos, share)), 0)
    return proportion_bounds(count, videos, confidence).low > allowed


def _finding(limit: str, allowed: float, share: Proportion, what: str, kind: str, confidence: float) -> Finding:
    bounds = proportion_bounds(share.count, share.total, confidence)
    measured = f"{share.count:,} of {share.total:,} {what} ({percent_text(share.share)})"
    sure, kept = confidence_text(confidence), stated_limit_text(limit, allowed)
    if bounds.high <= allowed:
        reason = f"{measured}; {sure} at most {percent_text(bounds.high)}, within the limit of {kept}"
        return Finding(limit, allowed, share.share, bounds.high, "PASS", reason)
    if bounds.low > allowed:
        reason = f"{measured}; {sure} at least {percent_text(bounds.low)}, beyond the limit of {kept}"
        return Finding(limit, allowed, share.share, bounds.low, "FAIL", reason)
    needed = videos_that_decide(share.share, allowed, confidence)
    around = undecided_text(percent_text(bounds.low), percent_text(bounds.high), kept, confidence)
    reason = f"{measured}; {around}: {share.total:,} {kind} do not decide"
    more = more_videos_text(needed, kind, share.total)
    return Finding(limit, allowed, share.share, bounds.high, "INCONCLUSIVE", reason, more)


def _threshold_text(point: OperatingPoint) -> str:
    return (
        f"threshold {point.threshold:.4f}" if point.origin == "default" else f"frozen threshold {point.threshold:.4f}"
    )
