"""What a reader must know before trusting a number, from everything that warns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluate.int8_comparison import sentences_by_name
from evaluate.sections.warning_list import all_warnings

if TYPE_CHECKING:
    from evaluate.record import ReportRecord

PARTIAL_DATA = (
    "These figures are of a part of the test set, because videos are missing for some variant and --allow-partial let "
    "that pass. Nothing should be signed off by them."
)


def page_warnings(record: ReportRecord) -> tuple[str, ...]:
    """Returns one sentence each; equal ones name their variants once."""
    simulations = ((v.name, (f"simulated: {v.simulation}",)) for v in record.variants if v.is_simulation)
    return (*sentences_by_name(simulations), *all_warnings(record))
