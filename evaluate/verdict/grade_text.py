"""Words of a grade's reason that several limits share."""

from __future__ import annotations

import math

# Limits that are shares, and units of others.
_SHARES = ("max_relative_auc_drop", "max_error_growth", "max_flips", "max_false_alarms", "max_missed_fakes")
_UNITS = {"max_size_mib": " MiB", "max_latency_ms": " ms"}
# A plan for more videos than the largest public test sets hold is no plan.
MOST_VIDEOS = 10_000_000


def confidence_text(confidence: float) -> str:
    """Returns such as `at 95% confidence`."""
    return f"at {100 * confidence:g}% confidence"


def undecided_text(low: str, high: str, allowed: str, confidence: float, judged: int = 1) -> str:
    """Says that a limit lies between two one-sided bounds, such as `one-sided 95% bounds 3% and 6% lie around ...`.

    Args:
        low: Lower bound.
        high: Upper bound.
        allowed: The limit.
        confidence: Of each bound by itself, or of those of all variants together.
        judged: How many variants share the confidence.
    """
    sure = f"one-sided {100 * confidence:g}%"
    bounds = f"{sure} bounds {low} and {high}"
    if judged > 1:
        bounds = f"bounds {low} and {high} ({sure} over the {judged} variants judged at once)"
    return f"{bounds} lie around the limit of {allowed}"


def stated_limit_text(limit: str, allowed: float) -> str:
    """Returns a limit as it was stated, as in `0.04%`, `60 MiB` or `0.01`: rounded, it might read as another one."""
    return f"{100 * allowed:.10g}%" if limit in _SHARES else f"{allowed:.10g}{_UNITS.get(limit, '')}"


def more_videos_text(needed: float | None, kind: str, found: int) -> str:
    """Says how much is to be measured where too little was.

    Args:
        needed: How many would most likely decide; None if no number would.
        kind: Of what, such as `videos`.
        found: How many there are.
    """
    if needed is None or needed > MOST_VIDEOS:
        return f"more {kind} hardly help, because what was measured lies at the limit: state another limit, or waive it"
    return f"evaluate about {rounded_up(max(needed, found + 1)):,} {kind}, which decide with a chance of 80%"


def rounded_up(number: float) -> int:
    """Rounds up to two significant digits: a count that rests on an estimate is no more exact than that."""
    step: int = 10 ** max(0, math.floor(math.log10(max(number, 1.0))) - 1)
    return math.ceil(number / step) * step
