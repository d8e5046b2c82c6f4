"""Grades of the limits on AUC and on its loss against the baseline."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING

from evaluate.metrics import roc_auc
from evaluate.record import BASELINE
from evaluate.statistics.auc_interval import auc_estimates
from evaluate.statistics.clusters import clusters_of
from evaluate.statistics.noninferiority import noninferiority_of_all
from evaluate.verdict.grade_text import confidence_text, more_videos_text, stated_limit_text, undecided_text
from evaluate.verdict.verdict import Finding

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from evaluate.statistics.interval import Interval
    from evaluate.statistics.noninferiority import NonInferiority
    from evaluate.verdict.evidence import Evidence

POWER = 0.80
IDENTICAL = "scores every video exactly as the baseline does"
_REPLICATES = 2000
# An AUC cannot lose more than 1; a growth of the error may allow more.
_LARGEST_MARGIN = 1 - 1e-9
_UNITS: dict[str, Callable[[float], float]] = {
    "max_auc_drop": lambda _: 1.0,
    "max_relative_auc_drop": lambda auc: auc,
    "max_error_growth": lambda auc: 1.0 - auc,
}
AUC_DROP_LIMITS = tuple(_UNITS)
# What a loss and what a gain is called.
_WORDS = {
    "max_auc_drop": ("loses {} of AUC", "gains {} of AUC"),
    "max_relative_auc_drop": ("loses {} of the baseline's AUC", "gains {} of the baseline's AUC"),
    "max_error_growth": ("its 1 - AUC is {} above the baseline's", "its 1 - AUC is {} below the baseline's"),
}


def auc_drop_findings(evidence: Evidence, limit: str, allowed: Mapping[str, float]) -> dict[str, Finding]:
    """Judges what variants lose against the baseline, all of them at one family-wise level.

    The limit becomes a margin on the difference of the AUCs; the baseline's AUC, where the limit is relative to it, is
    taken as measured.

    Args:
        evidence: Labelled scores, the baseline's among them.
        limit: One of `AUC_DROP_LIMITS`.
        allowed: Variant -> its limit.

    Returns:
        Variant -> finding.
    """
    baseline = evidence.scores[BASELINE]
    unit = _UNITS[limit](roc_auc(evidence.is_fake, baseline))
    findings = {name: _identical(limit, value) for name, value in allowed.items() if evidence.is_identical(name)}
    others = [name for name in allowed if name not in findings]
    if unit <= 0:
        return findings | {name: _without_unit(limit, allowed[name]) for name in others}
    if not others:
        return findings
    compared = noninferiority_of_all(
        evidence.is_fake,
        evidence.rows(others),
        baseline,
        evidence.clusters,
        [min(allowed[name] * unit, _LARGEST_MARGIN) for name in others],
        evidence.confidence,
        _replicates(evidence.confidence, len(others)),
    )
    for name, comparison in zip(others, compared, strict=True):
        findings[name] = _of_drop(evidence, limit, allowed[name], unit, comparison, len(others))
    return findings


def min_auc_findings(evidence: Evidence, allowed: Mapping[str, float]) -> dict[str, Finding]:
    """Judges AUCs by one-sided bounds: the wider of DeLong's and the bootstrap's interval.

    Args:
        evidence: Labelled scores.
        allowed: Variant -> its limit.

    Returns:
        Variant -> finding.
    """
    if not allowed:
        return {}
    # The ends of a two-sided interval of 90 % are one-sided bounds of 95 %.
    two_sided = 2 * evidence.confidence - 1
    replicates = _replicates(evidence.confidence, 1)
    estimates = auc_estimates(evidence.is_fake, evidence.rows(list(allowed)), evidence.clusters, two_sided, replicates)
    return {
        name: _of_auc(evidence, limit, estimate.value, estimate.quoted)
        for (name, limit), estimate in zip(allowed.items(), estimates, strict=True)
    }


def _replicates(confidence: float, bounds: int) -> int:
    """Returns enough bootstrap replicates for the furthest bound that Holm's procedure may ask for."""
    return max(_REPLICATES, math.ceil(bounds / (1 - confidence)) + 1)


def _of_drop(
    evidence: Evidence, limit: str, allowed: float, unit: float, comparison: NonInferiority, judged: int
) -> Finding:
    # Zero has no sign, whatever it was divided by.
    drop, least, most = (0.0 - value / unit for value in (comparison.difference, comparison.upper, comparison.lower))
    loss, gain = _WORDS[limit]
    lost = (loss if drop >= 0 else gain).format(_text(limit, abs(drop)))
    sure, at_least, at_most = confidence_text(evidence.confidence), _text(limit, least), _text(limit, most)
    stated = stated_limit_text(limit, allowed)
    kept = f"the limit of {stated}"
    if comparison.grade == "PASS":
        return Finding(limit, allowed, drop, most, "PASS", f"{lost}; {sure} at most {at_most}, within {kept}")
    if comparison.grade == "FAIL":
        return Finding(limit, allowed, drop, least, "FAIL", f"{lost}; {sure} at least {at_least}, beyond {kept}")
    around = undecided_text(at_least, at_most, stated, evidence.confidence, judged)
    reason = f"{lost}; {around}: {evidence.videos:,} videos do not decide"
    more = _more_text(evidence, comparison.videos_needed)
    return Finding(limit, allowed, drop, most, "INCONCLUSIVE", reason, more)


def _text(limit: str, value: float) -> str:
    return f"{value:.4f}" if limit == "max_auc_drop" else f"{100 * value:.2f}%"


def _identical(limit: str, allowed: float) -> Finding:
    return Finding(limit, allowed, 0.0, None, "PASS", IDENTICAL)


def _without_unit(limit: str, allowed: float) -> Finding:
    reason = (
        "the baseline's AUC is 1 on these videos, so a growth of its error cannot be judged; limit max_auc_drop instead"
    )
    return Finding(limit, allowed, None, None, "INCONCLUSIVE", reason)


def _of_auc(evidence: Evidence, allowed: float, auc: float, bounds: Interval) -> Finding:
    measured, sure, stated = (
        f"AUC {auc:.4f}",
        confidence_text(evidence.confidence),
        stated_limit_text("min_auc", allowed),
    )
    if bounds.low >= allowed:
        reason = f"{measured}; {sure} at least {bounds.low:.4f}, within the limit of {stated}"
        return Finding("min_auc", allowed, auc, bounds.low, "PASS", reason)
    if bounds.high < allowed:
        reason = f"{measured}; {sure} at most {bounds.high:.4f}, below the limit of {stated}"
        return Finding("min_auc", allowed, auc, bounds.high, "FAIL", reason)
    needed = _videos_for_auc(evidence, allowed, auc, bounds)
    around = undecided_text(f"{bounds.low:.4f}", f"{bounds.high:.4f}", stated, evidence.confidence)
    reason = f"{measured}; {around}: {evidence.videos:,} videos do not decide"
    more = _more_text(evidence, needed)
    return Finding("min_auc", allowed, auc, bounds.low, "INCONCLUSIVE", reason, more)


def _more_text(evidence: Evidence, needed: float | None) -> str:
    """Says how many videos would decide, or that other persons are needed first."""
    if clusters_of(evidence.is_fake, evidence.clusters).smaller_class < 2:
        return "all fakes or all reals show one person, which no number of videos makes up for: evaluate more persons"
    return more_videos_text(needed, "videos", evidence.videos)


def _videos_for_auc(evidence: Evidence, allowed: float, auc: float, bounds: Interval) -> float | None:
    """Returns videos that decide with `POWER` if the AUC is what was measured: bounds shrink with their square root."""
    distance = abs(auc - allowed)
    reach = auc - bounds.low if auc >= allowed else bounds.high - auc
    if distance == 0 or reach <= 0:
        return None
    quantile = NormalDist().inv_cdf
    spread = reach * (1 + quantile(POWER) / quantile(evidence.confidence))
    return evidence.videos * (spread / distance) ** 2
