"""Grades of the limits on shares: turned decisions, false alarms and missed fakes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluate.number_text import percent_text
from evaluate.statistics.clustered_count import independent_count
from evaluate.statistics.decision_counts import false_alarms, flips, missed_fakes
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
    from evaluate.statistics.clustered_count import ClusteredCount
    from evaluate.statistics.operating_point import OperatingPoint
    from evaluate.verdict.evidence import Evidence

SHARE_LIMITS = ("max_flips", "max_false_alarms", "max_missed_fakes")
POWER = 0.80


def share_finding(limit: str, allowed: float, variant: VariantResult, evidence: Evidence) -> Finding | None:
    """Judges one of `SHARE_LIMITS` by one-sided bounds; None if it was not measured."""
    counted = _counted(limit, variant, evidence)
    return None if counted is None else _finding(limit, allowed, *counted, evidence.confidence)


def deciding_point(variant: VariantResult) -> OperatingPoint | None:
    """Returns the operating point that limits are about, if the variant has statistics."""
    return variant.statistics.deciding if variant.statistics else None


def videos_that_decide(share: float, allowed: float, confidence: float) -> int | None:
    """Returns how many independent videos decide a limit with a chance of `POWER` if the true share is this one.

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


def clustered_videos_that_decide(counted: ClusteredCount, allowed: float, confidence: float) -> float | None:
    """Returns how many videos in clusters as large and as much alike decide a limit with a chance of `POWER`.

    As many as `videos_that_decide` are needed for each video that counts as an independent one, and so many that a
    share of none, or of all, would decide: see `proportion_bounds`.

    Args:
        counted: What was measured, in two clusters or more.
        allowed: The limit.
        confidence: Of the bounds.

    Returns:
        The number; None if there is none, as for `videos_that_decide`.
    """
    independent = videos_that_decide(counted.share, allowed, confidence)
    extreme = videos_that_decide(0.0 if counted.share < allowed else 1.0, allowed, confidence)
    if independent is None or extreme is None:
        return None
    effective, of_none = counted.effective_total(confidence), counted.effective_total_of_none(confidence)
    return max(independent * (counted.total / effective), extreme * (counted.total / of_none))


def _decides(videos: int, share: float, allowed: float, confidence: float) -> bool:
    from scipy.stats import binom

    if share < allowed:
        count = int(binom.ppf(POWER, videos, share))
        return proportion_bounds(independent_count(count, videos), confidence).high <= allowed
    # The largest count that at least `POWER` of all draws reach.
    count = max(int(binom.ppf(1 - POWER, videos, share)), 0)
    return proportion_bounds(independent_count(count, videos), confidence).low > allowed


def _counted(limit: str, variant: VariantResult, evidence: Evidence) -> tuple[ClusteredCount, str, str] | None:
    """Returns what a limit is about, what that is called, and of which kind of videos it is a share."""
    statistics, scores, clusters = variant.statistics, evidence.scores.get(variant.name), evidence.cluster_numbers
    if statistics is None or scores is None:
        return None
    if limit == "max_flips":
        drift, baseline = statistics.drift, evidence.baseline
        if drift is None or baseline is None:
            return None
        counted = flips(baseline, scores, drift.threshold, clusters)
        return counted, f"decisions differ from the baseline's at {drift.threshold:.4f}", "videos"
    point = deciding_point(variant)
    if point is None:
        return None
    if limit == "max_false_alarms":
        counted = false_alarms(evidence.is_fake, scores, point.threshold, clusters)
        return counted, f"reals are called fake at the {_threshold_text(point)}", "real videos"
    counted = missed_fakes(evidence.is_fake, scores, point.threshold, clusters)
    return counted, f"fakes are called real at the {_threshold_text(point)}", "fake videos"


def _finding(limit: str, allowed: float, counted: ClusteredCount, what: str, kind: str, confidence: float) -> Finding:
    bounds, share = proportion_bounds(counted, confidence), counted.share
    measured = f"{counted.count:,} of {counted.total:,} {what} ({percent_text(share)})"
    sure, kept = confidence_text(confidence), stated_limit_text(limit, allowed)
    if bounds.high <= allowed:
        reason = f"{measured}; {sure} at most {percent_text(bounds.high)}, within the limit of {kept}"
        return Finding(limit, allowed, share, bounds.high, "PASS", reason)
    if bounds.low > allowed:
        reason = f"{measured}; {sure} at least {percent_text(bounds.low)}, beyond the limit of {kept}"
        return Finding(limit, allowed, share, bounds.low, "FAIL", reason)
    around = undecided_text(percent_text(bounds.low), percent_text(bounds.high), kept, confidence)
    groups = "" if counted.is_independent else f" in {counted.clusters:,} groups"
    reason = f"{measured}; {around}: {counted.total:,} {kind}{groups} do not decide"
    more = _more_text(counted, allowed, kind, confidence)
    return Finding(limit, allowed, share, bounds.high, "INCONCLUSIVE", reason, more)


def _more_text(counted: ClusteredCount, allowed: float, kind: str, confidence: float) -> str:
    if counted.is_uninformative:
        return f"all {kind} show one person, which no number of them makes up for: evaluate more persons"
    needed = clustered_videos_that_decide(counted, allowed, confidence)
    # More videos of the same persons would not do.
    of_whom = "" if counted.is_independent or needed is None else " of proportionally more persons"
    return more_videos_text(needed, kind + of_whom, counted.total)


def _threshold_text(point: OperatingPoint) -> str:
    return (
        f"threshold {point.threshold:.4f}" if point.origin == "default" else f"frozen threshold {point.threshold:.4f}"
    )
