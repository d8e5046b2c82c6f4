"""The report's section on heatmaps: whether pruned source models look where the dense one does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluate.number_text import percent_text
from evaluate.sections.markdown_table import escaped, markdown_table
from export.variant import DENSE

if TYPE_CHECKING:
    from evaluate.maps.cam_agreement import CamAgreement
    from evaluate.record import ReportRecord
    from evaluate.sections.markdown_table import Alignment
    from evaluate.statistics.interval import Interval

_RIGHT: tuple[Alignment, ...] = ("right",) * 8


def cam_lines(record: ReportRecord, number: int) -> list[str]:
    """Returns the section's lines; none if no maps were compared."""
    sources = agreements(record)
    if not sources:
        return []
    header = ["Source", "Variants", "Videos", "Correlation", "Of other videos", "Overlap", "Of other videos"]
    rows = [_row(record, source, agreement) for source, agreement in sources.items()]
    lines = [
        f"## {number}. Agreement of Heatmaps",
        *markdown_table(header, ("left", "left", *_RIGHT[:5]), rows),
        "",
        "Class-activation maps of a pruned source model against the dense model's, on the same face. Correlation is "
        "Pearson's over the map, 1 for equal maps; overlap is that of the fifth of the face that speaks most for fake "
        "(intersection over union). In brackets, 95% intervals. Of other videos: the same of maps of different faces, "
        "which is what the layout of a face alone gives; an agreement no better than that is none.",
        "",
        "The maps are those of the FP32 source models: they show what pruning changed, not what FP16 or INT8 did.",
        "",
    ]
    if masks := _mask_rows(sources):
        header = ["Source", "Fakes", "Peak inside", "Energy inside", "Area of the masks"]
        lines += ["### Against Masks of What Was Manipulated", ""]
        lines += [*markdown_table(header, ("left", *_RIGHT[:4]), masks), ""]
        lines += [
            "Peak inside: share of the fakes whose map has its largest value in the manipulated region (pointing "
            "game). Energy inside: share of what speaks for fake that lies there. A map without aim would reach the "
            "area of the masks in both.",
            "",
        ]
    return lines


def agreements(record: ReportRecord) -> dict[str, CamAgreement]:
    """Returns the agreement of each source model whose maps were compared."""
    return {variant.source: variant.cam_agreement for variant in record.variants if variant.cam_agreement}


def _row(record: ReportRecord, source: str, agreement: CamAgreement) -> list[str]:
    variants = ", ".join(escaped(variant.name) for variant in record.variants if variant.source == source)
    return [
        f"**{escaped(source)}**",
        variants,
        str(agreement.videos),
        _with_interval(agreement.pearson, agreement.pearson_interval),
        f"{agreement.null_pearson:.3f}",
        _with_interval(agreement.overlap, agreement.overlap_interval),
        f"{agreement.null_overlap:.3f}",
    ]


def _with_interval(value: float, interval: Interval) -> str:
    return f"{value:.3f} ({interval.low:.3f} to {interval.high:.3f})"


def _mask_rows(sources: dict[str, CamAgreement]) -> list[list[str]]:
    rows = {source: agreement.masks for source, agreement in sources.items()}
    dense = next((agreement.dense_masks for agreement in sources.values() if agreement.dense_masks), None)
    return [
        [
            f"**{escaped(source)}**",
            str(masks.videos),
            percent_text(masks.pointing_game),
            percent_text(masks.energy_inside),
            percent_text(masks.area),
        ]
        for source, masks in {DENSE: dense, **rows}.items()
        if masks
    ]
