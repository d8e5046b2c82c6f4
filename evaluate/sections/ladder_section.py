"""The report's section on the stage ladder: at which step between checkpoint and engine AUC is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluate.metrics import DEFAULT_THRESHOLD
from evaluate.number_text import decibel_text, diff_text
from evaluate.sections.markdown_table import escaped, image_link, markdown_table

if TYPE_CHECKING:
    from evaluate.ladder import LadderStep
    from evaluate.record import ReportRecord, VariantResult
    from evaluate.sections.markdown_table import Alignment

LADDER_PLOT = "stage_ladder.png"
_ALIGNMENTS: tuple[Alignment, ...] = ("left", "left", "left", "right", "right", "right", "right")


def ladder_lines(record: ReportRecord, number: int) -> list[str]:
    """Returns the section's lines; none if no stage was scored."""
    climbed = with_ladder(record)
    if not climbed:
        return []
    header = ["Model", "Stage", "Run by", "AUC", "Change", "Flips", "Logit SQNR (dB)"]
    rows = [_row(variant, step, index == 0) for variant in climbed for index, step in enumerate(variant.ladder)]
    costs = [f"- {sentence}" for variant in climbed if (sentence := _costliest(variant))]
    return [
        f"## {number}. Stage Ladder",
        *markdown_table(header, _ALIGNMENTS, rows),
        "",
        "All stages score the same videos. Checkpoint: the dense PyTorch model; pruned: the pruned one; ONNX: its "
        "FP32 export; graph: the variant's own graph, FP16 or INT8, by ONNX Runtime; engine: what is signed off, "
        "which is the graph itself with ONNX Runtime. Change, flips (other decisions at the threshold "
        f"{ladder_threshold(record):.4g}) and SQNR are against the stage before.",
        "",
        *(costs or ["No stage costs any AUC worth printing."]),
        "",
        image_link("Stage ladder", LADDER_PLOT),
        "",
    ]


def with_ladder(record: ReportRecord) -> list[VariantResult]:
    """Returns the variants whose stages were scored."""
    return [variant for variant in record.variants if variant.ladder]


def ladder_threshold(record: ReportRecord) -> float:
    """Returns the threshold of the ladders' flips, which is the same for all variants of a report."""
    points = (variant.statistics.deciding for variant in with_ladder(record) if variant.statistics)
    return next((point.threshold for point in points if point), DEFAULT_THRESHOLD)


def _row(variant: VariantResult, step: LadderStep, is_first: bool) -> list[str]:
    against = ["-"] * 3
    if not is_first:
        sqnr = "no difference" if step.sqnr_db is None else decibel_text(step.sqnr_db)
        against = [diff_text(-step.auc_cost), str(step.flips), sqnr]
    return [f"**{escaped(variant.name)}**", step.stage, escaped(step.runner), f"{step.auc:.4f}", *against]


def _costliest(variant: VariantResult) -> str:
    step = max(variant.ladder, key=lambda step: step.auc_cost)
    if step.auc_cost < 0.00005:
        return ""
    return f"{escaped(variant.name)} loses most at the stage {step.stage}: {diff_text(-step.auc_cost)} AUC."
