"""Numbers as report and summary print them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from evaluate.statistics.interval import Interval
    from evaluate.statistics.proportion import Proportion


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


def milliseconds_text(milliseconds: float | None) -> str:
    """Returns milliseconds with about four digits, as in `1.234` or `1,234`; `-` where nothing was measured."""
    return "-" if milliseconds is None else _four_digits(milliseconds)


def rate_text(per_second: float) -> str:
    """Returns a rate with about four digits, as in `87.65` or `12,345`."""
    return _four_digits(per_second)


def speed_up_text(factor: float | None) -> str:
    """Returns a factor as in `1.85x`; `N/A` where nothing can be compared."""
    return "N/A" if factor is None else f"{factor:.2f}x"


def decibel_text(decibels: float | None) -> str:
    """Returns decibels with one decimal; `-` where nothing was measured."""
    return "-" if decibels is None else f"{round(decibels, 1) + 0.0:.1f}"


def interval_text(interval: Interval) -> str:
    """Returns both ends with four decimals, as in `0.9350 to 0.9712`."""
    return f"{interval.low:.4f} to {interval.high:.4f}"


def diff_interval_text(interval: Interval) -> str:
    """Returns both ends with their signs, as in `-0.0012 to +0.0008`."""
    return f"{diff_text(interval.low)} to {diff_text(interval.high)}"


def proportion_text(proportion: Proportion) -> str:
    """Returns a share with its interval, as in `8.4% (5.2% to 13.4%)`; `N/A` of nothing."""
    if not proportion.total:
        return "N/A"
    low, high = percent_text(proportion.interval.low), percent_text(proportion.interval.high)
    return f"{percent_text(proportion.share)} ({low} to {high})"


def p_value_text(p_value: float) -> str:
    """Returns a p-value with three decimals; `below 0.001` where that would be zero."""
    return f"{p_value:.3f}" if p_value >= 0.001 else "below 0.001"


def correlation_text(correlation: float | None) -> str:
    """Returns a correlation with four decimals; `N/A` where it is not defined."""
    return "N/A" if correlation is None else f"{correlation:.4f}"


def _four_digits(value: float) -> str:
    # Judged by what is printed, so that 9.9996 becomes 10.00 and not 10.000.
    decimals = next((places for places, limit in ((3, 10), (2, 100), (1, 1000)) if round(value, places) < limit), 0)
    return f"{value:,.{decimals}f}"
