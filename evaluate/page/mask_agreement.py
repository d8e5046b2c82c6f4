"""Heatmaps against masks, for every source model that has both."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluate.sections.cam_section import agreements
from export.variant import DENSE

if TYPE_CHECKING:
    from evaluate.maps.cam_agreement import MaskAgreement
    from evaluate.record import ReportRecord


def mask_agreements(record: ReportRecord) -> dict[str, MaskAgreement]:
    """Returns source model -> its maps against the masks, the dense one's first; empty without masks."""
    found = agreements(record)
    dense = next((agreement.dense_masks for agreement in found.values() if agreement.dense_masks), None)
    rows = {DENSE: dense, **{source: agreement.masks for source, agreement in found.items()}}
    return {source: masks for source, masks in rows.items() if masks}
