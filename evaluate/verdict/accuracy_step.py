"""What most likely gives a compressed variant its accuracy back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from evaluate.int8_comparison import restored_groups, sensitivity_of_groups
from evaluate.verdict.not_measured import EVALUATE
from export.variant import DENSE, SMALLEST_PERCENT

if TYPE_CHECKING:
    from calibration.int8_record import Int8Record
    from evaluate.record import ReportRecord, VariantResult

Part = Literal["pruning", "export", "FP16", "INT8", "engine", "unknown"]

_INT8 = ("INT8", "INT8 weights")
_NAMED_GROUPS = 3
_FEWER_PERCENT = 10


def accuracy_step(record: ReportRecord, variant: VariantResult) -> str:
    """Returns the step for the part of the compression that costs most."""
    part = costliest_part(record, variant)
    if part == "pruning":
        return prune_less_step(variant)
    if part == "INT8":
        return _round_less(variant)
    if part == "export":
        return "its FP32 graph already lost it: build it again with build-engines and see its parity check"
    if part == "FP16":
        return "FP16 costs most: keep FP32, build-engines --precision fp32"
    if part == "engine" and not variant.backend.startswith("onnxruntime"):
        return f"see whether the engine or its graph is the cause: {EVALUATE} --backend onnxruntime"
    if not variant.ladder:
        return f"see which stage costs it: {EVALUATE} --ladder"
    return "its engine costs most: delete it and build it anew with build-engines"


def costliest_part(record: ReportRecord, variant: VariantResult) -> Part:
    """Returns what costs most: by the ladder if there is one, else by the variants that have one part of it only."""
    is_pruned, is_int8 = variant.source != DENSE, variant.precision in _INT8
    costs: dict[Part, float | None] = {}
    if variant.ladder:
        of_stage = {step.stage: step.auc_cost for step in variant.ladder}
        costs["engine"] = of_stage.get("engine", 0.0)
        costs["export"] = of_stage.get("ONNX", 0.0)
        if is_pruned:
            costs["pruning"] = of_stage.get("pruned", 0.0)
        if is_int8 or variant.precision == "FP16":
            costs["INT8" if is_int8 else "FP16"] = of_stage.get("graph", 0.0)
    elif is_pruned and is_int8:
        costs["pruning"] = _loss_of(record, ("FP16", "FP32"), variant.source)
        costs["INT8"] = _loss_of(record, (variant.precision,), DENSE)
    else:
        return "pruning" if is_pruned else "INT8" if is_int8 else "engine"
    known = {part: cost for part, cost in costs.items() if cost is not None}
    return max(known, key=lambda part: known[part]) if len(known) == len(costs) else "unknown"


def prune_less_step(variant: VariantResult) -> str:
    """Returns the step for a variant whose pruning cost too much."""
    pruning = variant.pruning
    if pruning is not None and pruning.recipe == "magnitude":
        return "choose what to prune by what it costs: build-engines --pruning-recipe accurate"
    milder = _milder_pruning(variant)
    if pruning is None or any("distillation" in step.name for step in pruning.steps):
        return f"{milder}, or distil longer, --distill-steps N"
    return f"let distillation repair it, build-engines --max-pruning-auc-drop X with a smaller X, or {milder}"


def _loss_of(record: ReportRecord, precisions: tuple[str, ...], source: str) -> float | None:
    losses = [
        -variant.comparison.auc_diff
        for variant in record.variants
        if variant.comparison and variant.source == source and variant.precision in precisions
    ]
    return min(losses, default=None)


def _milder_pruning(variant: VariantResult) -> str:
    nearest = variant.pruning.nearest_percent if variant.pruning else None
    if variant.source == "n24":
        return "prune without the 2:4 pattern, build-engines --pruning p50"
    kind, percent = variant.source[0], int(variant.source[1:])
    less = nearest if nearest and nearest < percent else max(percent - _FEWER_PERCENT, SMALLEST_PERCENT)
    return f"prune less, build-engines --pruning {kind}{less:02d}"


def _round_less(variant: VariantResult) -> str:
    int8 = variant.int8
    if int8 is None or variant.precision == "INT8 weights":
        return "leave INT8 out of it: build-engines --precision fp16"
    if int8.recipe != "accurate":
        return "let a search settle which layers are INT8: build-engines --int8-recipe accurate"
    groups = _costliest_groups(int8)
    more = "allow it a larger file, --max-size-mib MIB"
    if not groups:
        return f"calibrate with more images, build-engines --calibration-images N, or {more}"
    return f"keep what costs most in floating point, build-engines --keep-float {' '.join(groups)}, or {more}"


def _costliest_groups(int8: Int8Record) -> tuple[str, ...]:
    """Returns the groups whose INT8 costs the logit most: by putting them back alone, or by rounding them alone."""
    in_int8 = {group.name for group in int8.groups if group.arithmetic != "float"}
    restored = [name for name, sqnr in restored_groups(int8) if name in in_int8 and sqnr > int8.sqnr_db]
    if restored:
        return tuple(restored[:_NAMED_GROUPS])
    sensitivity = sensitivity_of_groups(int8)
    if sensitivity is None:
        return ()
    worst = (int8.groups[index].name for index in sensitivity.worst(len(int8.groups)))
    return tuple(name for name in worst if name in in_int8)[:_NAMED_GROUPS]
