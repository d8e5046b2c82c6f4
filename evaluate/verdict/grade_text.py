"""Words of a grade's reason that several limits share."""

from __future__ import annotations

import math

# A plan for more videos than the largest public test sets hold is no plan.
MOST_VIDEOS = 10_000_000


def confidence_text(confidence: float) -> str:
    """Returns such as `at 95% confidence`."""
    return f"at {100 * confidence:g}% confidence"


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
