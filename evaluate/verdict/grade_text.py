"""Words of a grade's reason that several limits share."""

from __future__ import annotations

import math

# A plan for more videos than the largest public test sets hold is no plan.
MOST_VIDEOS = 10_000_000


def confidence_text(confidence: float) -> str:
    """Returns such as `at 95% confidence`."""
    return f"at {100 * confidence:g}% confidence"


def undecided_text(found: str, needed: float | None, kind: str) -> str:
    """Says that too little was measured, and how much would do.

    Args:
        found: What was measured, such as `518 videos`.
        needed: How many would most likely decide; None if no number would.
        kind: Of what, such as `videos`.
    """
    if needed is None or needed > MOST_VIDEOS:
        return f"{found} do not decide, nor would more, because what was measured lies at the limit"
    return f"{found} do not decide, about {rounded_up(needed):,} {kind} would"


def rounded_up(number: float) -> int:
    """Rounds up to two significant digits: a count that rests on an estimate is no more exact than that."""
    step = 10 ** max(0, math.floor(math.log10(max(number, 1.0))) - 1)
    return math.ceil(number / step) * step
