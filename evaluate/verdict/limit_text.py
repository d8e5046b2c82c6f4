"""Limits and their figures in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluate.number_text import milliseconds_text, percent_text
from evaluate.verdict.grade_text import stated_limit_text
from evaluate.verdict.limit_range import is_lower_limit

if TYPE_CHECKING:
    from collections.abc import Callable


def _auc(value: float) -> str:
    return f"{round(value, 4) + 0.0:.4f}"  # never -0.0000


def _fine_percent(value: float) -> str:
    return f"{round(100 * value, 2) + 0.0:.2f}%"  # losses and their limits are a few tenths of a percent


def _mebibytes(value: float) -> str:
    return f"{value:.2f} MiB"


def _milliseconds(value: float) -> str:
    return f"{milliseconds_text(value)} ms"


# Field of `Limits` -> what it is about, and how its figures are printed.
_TEXTS: dict[str, tuple[str, Callable[[float], str]]] = {
    "max_size_mib": ("Size", _mebibytes),
    "min_auc": ("AUC", _auc),
    "max_auc_drop": ("AUC drop", _auc),
    "max_relative_auc_drop": ("Relative AUC drop", _fine_percent),
    "max_error_growth": ("Growth of 1 - AUC", _fine_percent),
    "max_flips": ("Flipped decisions", percent_text),
    "max_false_alarms": ("False alarms", percent_text),
    "max_missed_fakes": ("Missed fakes", percent_text),
    "max_latency_ms": ("Latency (p95)", _milliseconds),
    "max_cam_drift": ("Heatmap drift", _auc),
    "min_slice_auc": ("AUC of the worst slice", _auc),
    "max_slice_auc_drop": ("AUC drop of the worst slice", _auc),
}


def limit_name(limit: str) -> str:
    """Returns what a limit is about; the name itself for one that is not known here."""
    return _TEXTS[limit][0] if limit in _TEXTS else limit


def limit_bound(limit: str, allowed: float) -> str:
    """Returns a limit as in `≤ 60 MiB`."""
    return f"{'≥' if is_lower_limit(limit) else '≤'} {stated_limit_text(limit, allowed)}"


def limit_value(limit: str, value: float | None) -> str:
    """Returns a figure as the limit's quantity is printed; a dash for none."""
    if value is None:
        return "–"
    return _TEXTS[limit][1](value) if limit in _TEXTS else f"{value:g}"
