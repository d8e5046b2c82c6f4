"""Every sentence that warns of a report's figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluate.aggregation_text import aggregation_warnings
from evaluate.faceless_text import faceless_warnings
from evaluate.int8_comparison import int8_warnings
from evaluate.latency_comparison import latency_warnings
from evaluate.lookalike_text import lookalike_warnings
from evaluate.pruning_comparison import pruning_warnings

if TYPE_CHECKING:
    from evaluate.record import ReportRecord


def all_warnings(record: ReportRecord) -> tuple[str, ...]:
    """Returns what was warned of while scoring, then what the record's own figures warn of."""
    data = (
        *aggregation_warnings(record),
        *faceless_warnings(record.dataset),
        *lookalike_warnings(record.lookalikes),
    )
    return (*record.warnings, *data, *pruning_warnings(record), *int8_warnings(record), *latency_warnings(record))
