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


def _four_digits(value: float) -> str:
    # Judged by what is printed, so that 9.9996 becomes 10.00 and not 10.000.
    decimals = next((places for places, limit in ((3, 10), (2, 100), (1, 1000)) if round(value, places) < limit), 0)
    return f"{value:,.{decimals}f}"
