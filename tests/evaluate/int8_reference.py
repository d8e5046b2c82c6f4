"""Records of INT8 variants with the layers of an EfficientNet-B5 and seeded figures, and a report that holds them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from calibration.int8_record import FrontierPoint, GroupRecord, Int8Record, RepairRecord
from evaluate.comparison import compared_variants
from evaluate.record import EngineFile
from tests.evaluate.reference import MIB, reference_record

if TYPE_CHECKING:
    from calibration.int8_record import ArithmeticName, RecipeName
    from evaluate.record import ReportRecord, VariantResult

# Blocks and output channels of each stage of EfficientNet-B5.
STAGES = ((3, 24), (5, 40), (5, 64), (7, 128), (7, 176), (9, 304), (3, 512))
MISSED = "the file has 27.80 MiB, 0.80 more than the limit of 27; allow 27.8 MiB | or prune"
WARNING = "only 12 videos were calibrated on; ranges may not hold for others"


def b5_layers() -> list[tuple[str, str, tuple[str, ...], int, int]]:
    """Returns name, role, layers, weights and operations of the 156 groups, in order."""
    found = [("conv_stem", "stem", ("conv_stem",), 1296, 1296 * 228**2)]
    channels, size = 48, 228
    for stage, (blocks, width) in enumerate(STAGES):
        for block in range(blocks):
            inner = channels * (6 if stage else 1)
            size = size // 2 if not block and stage in (1, 2, 3, 5) else size
            name, area = f"blocks.{stage}.{block}", size**2
            if stage:
                found.append((f"{name}.conv_pw", "convolution", (f"{name}.conv_pw",), inner * channels, 0))
            found.append((f"{name}.conv_dw", "depthwise", (f"{name}.conv_dw",), 9 * inner, 9 * inner * area))
            gate = (f"{name}.se.conv_reduce", f"{name}.se.conv_expand")
            found.append((gate[0], "squeeze-excite", gate, inner * channels // 2, inner * channels // 2))
            last = f"{name}.conv_pwl" if stage else f"{name}.conv_pw"
            found.append((last, "convolution", (last,), inner * width, inner * width * area))
            channels = width
    found.append(("conv_head", "head", ("conv_head",), 512 * 2048, 512 * 2048 * 15**2))
    found.append(("classifier", "classifier", ("classifier",), 2048, 2048))
    return [(name, role, layers, weights, macs or weights * 1000) for name, role, layers, weights, macs in found]


def b5_record(seed: int = 0, recipe: RecipeName = "accurate") -> Int8Record:
    rng = np.random.default_rng(seed)
    groups = tuple(_group(rng, *layer) for layer in b5_layers())
    return Int8Record(
        recipe=recipe,
        groups=groups,
        frontier=(
            *_frontier(weight_only=True),
            *_frontier(weight_only=False),
            FrontierPoint(27.85, 26.4, 0.902, weight_only=True, chosen=True),
        ),
        repairs=(
            RepairRecord("equalize channels", 24.31, 26.75, kept=True),
            RepairRecord("correct biases of 89 layers", 26.75, 26.4, kept=False),
        ),
        size_mib=27.8,
        max_size_mib=27.0,
        sqnr_db=26.04,
        min_sqnr_db=25.0,
        flipped=3,
        auc_difference=-0.00031,
        max_auc_drop=0.001,
        fitted_images=384,
        held_back_images=128,
        range_methods={"percentile": 12, "mse": 80},
        equalized_tensors=41,
        missed=(MISSED,),
        warnings=(WARNING,),
    )


def unmeasured(record: Int8Record, recipe: RecipeName = "fast") -> Int8Record:
    """Returns the record as a recipe leaves it that settles layers by their kind alone."""
    none = {"int8_sqnr_db": None, "weights_sqnr_db": None, "restored_sqnr_db": None}
    groups = tuple(replace(group, **none) for group in record.groups)
    limits = {"max_size_mib": None, "min_sqnr_db": None, "max_auc_drop": None}
    return replace(record, recipe=recipe, groups=groups, frontier=(), repairs=(), missed=(), warnings=(), **limits)


def weights_record() -> Int8Record:
    """Returns the record of a `q8w`, which computes nothing in INT8."""
    record = unmeasured(b5_record(), "weights")
    reason = "only weights are INT8"
    groups = tuple(
        group if group.role == "classifier" else replace(group, arithmetic="int8-weights", reason=reason)
        for group in record.groups
    )
    return replace(record, groups=groups, size_mib=30.0, sqnr_db=41.3, flipped=0, range_methods={}, equalized_tensors=0)


def int8_reference_record() -> ReportRecord:
    """The reference report with a searched `q8`, a `q8-p50` that misses nothing, and a `q8w` by kind alone."""
    record = reference_record(simulated=True)
    variants = {variant.name: variant for variant in record.variants}
    searched = b5_record()
    weights = replace(
        variants["q8"],
        name="q8w",
        precision="INT8 weights",
        file="onnx/q8w.onnx",
        size_bytes=30 * MIB,
        graph_bytes=30 * MIB,
        engines=_engines("q8w", 30.0, 56.0),
    )
    changed: dict[str, VariantResult] = {
        "q16": replace(variants["q16"], engines=_engines("q16", 54.6, 58.7)),
        "q8": replace(variants["q8"], int8=searched, engines=_engines("q8", 27.8, 40.1)),
        "q8-p50": replace(variants["q8-p50"], int8=replace(b5_record(1), missed=(), max_size_mib=29.5)),
        "q8w": replace(weights, int8=weights_record()),
    }
    return replace(record, variants=compared_variants([*(variants | changed).values()]))


def _engines(name: str, onnx_mib: float, plan_mib: float) -> tuple[EngineFile, ...]:
    return (
        EngineFile("onnxruntime 1.22.0", f"engines/{name}.onnxruntime.onnx", round(onnx_mib * MIB)),
        EngineFile("tensorrt-rtx 1.7", f"engines/{name}.tensorrt-rtx.plan", round(plan_mib * MIB), ("8.6", "8.9")),
    )


def _group(
    rng: np.random.Generator, name: str, role: str, layers: tuple[str, ...], weights: int, macs: int
) -> GroupRecord:
    harm, weights_harm = (round(float(np.clip(rng.normal(mean, 9.0), 15.0, 75.0)), 2) for mean in (42.0, 55.0))
    arithmetic, reason = _settled(role, harm, weights_harm)
    has_int8 = role in ("convolution", "head")
    return GroupRecord(
        name=name,
        role=role,
        layers=layers,
        weights=weights,
        macs=macs,
        int8_sqnr_db=harm if has_int8 else None,
        weights_sqnr_db=weights_harm if role != "classifier" else None,
        restored_sqnr_db=round(26.04 + 40 / harm, 2) if arithmetic == "int8" and harm < 35 else None,
        arithmetic=arithmetic,
        reason=reason,
    )


def _settled(role: str, harm: float, weights_harm: float) -> tuple[ArithmeticName, str]:
    if role == "classifier":
        return "float", "the classifier decides and weighs nothing"
    if weights_harm < 40:
        return "float", f"even INT8 weights would leave no more than {weights_harm:.1f} dB of 25.0"
    if role not in ("convolution", "head"):
        return "int8-weights", f"{role} layers gain little from INT8 arithmetic"
    return ("int8", "") if harm > 32 else ("int8-weights", "INT8 activations would disturb the logit too much")


def _frontier(weight_only: bool) -> tuple[FrontierPoint, ...]:
    sizes = np.linspace(25.5, 44.0, 14) + (0.0 if weight_only else 1.5)
    return tuple(
        FrontierPoint(
            size_mib=round(float(size), 3),
            sqnr_db=100.0
            if index == 13
            else round(14.0 + 8.0 * float(np.log1p(size - 25.0)) - 2.0 * (not weight_only), 3),
            int8_mac_share=round(0.91 - 0.07 * index, 3),
            weight_only=weight_only,
        )
        for index, size in enumerate(sizes)
    )
