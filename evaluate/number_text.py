"""Numbers as report and summary print them."""

from __future__ import annotations


def reduction_text(reduction: float) -> str:
    """Returns the change of size as in `-49.8%`; a larger file has a plus sign, an equal one none."""
    percent = round(-100.0 * reduction, 1)
    return f"{percent:+.1f}%" if percent else "0.0%"


def diff_text(auc_diff: float) -> str:
    """Returns a signed difference with four decimals; what rounds to zero is `+0.0000`."""
    return f"{round(auc_diff, 4) + 0.0:+.4f}"


def percent_text(share: float) -> str:
    """Returns a share as in `49.8%`; what rounds to zero has no sign."""
    return f"{round(100.0 * share, 1) + 0.0:.1f}%"


def decibel_text(decibels: float | None) -> str:
    """Returns decibels with one decimal; `-` where nothing was measured."""
    return "-" if decibels is None else f"{round(decibels, 1) + 0.0:.1f}"
