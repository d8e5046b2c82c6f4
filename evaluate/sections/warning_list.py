"""Every sentence that warns of a report's figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluate.int8_comparison import int8_warnings
from evaluate.latency_comparison import latency_warnings
from evaluate.pruning_comparison import pruning_warnings

if TYPE_CHECKING:
    from evaluate.record import ReportRecord


def all_warnings(record: ReportRecord) -> tuple[str, ...]:
    """Returns what was warned of while scoring, then what the record's own figures warn of."""
    return (*record.warnings, *pruning_warnings(record), *int8_warnings(record), *latency_warnings(record))
