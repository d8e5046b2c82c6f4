"""The variant whose weights alone are INT8: nothing is searched, calibrated or repaired, because nothing needs it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from calibration.int8_choices import CLASSIFIER_REASON
from calibration.int8_from_table import int8_from_fp32, without_inferred_shapes
from calibration.int8_record import GroupRecord, Int8Record
from calibration.int8_workshop import verdict_from_logits
from calibration.layer_groups import groups_from_graph
from calibration.layers import Role, layers_from_graph
from calibration.logit_noise import within_class_variance
from calibration.placement import (
    Arithmetic,
    Choice,
    Placement,
    first_match,
    placement_from_choices,
    require_matches,
)
from calibration.qdq_lint import require_valid_qdq
from calibration.table import CalibrationTable
from export.half_precision import fp16_from_fp32
from export.runners import OnnxRunner

if TYPE_CHECKING:
    import onnx
    from numpy.typing import NDArray

    from calibration.int8_images import Int8Images

_MIB = 1 << 20
_REASON = "this variant rounds no activations"


@dataclass(frozen=True)
class MadeWeightOnly:
    """A graph whose weights alone are INT8."""

    model: onnx.ModelProto
    placement: Placement


def make_weight_only(model: onnx.ModelProto, onnx_sha256: str, keep_float: tuple[str, ...]) -> MadeWeightOnly:
    """Stores the weights of every layer but the classifier as INT8 and leaves the arithmetic to FP16.

    Rounded weights alone disturb the logit so little that nothing is searched, calibrated or repaired.

    Args:
        model: The FP32 graph.
        onnx_sha256: Digest of its file.
        keep_float: Patterns of layers to keep as they are.
    """
    layers = layers_from_graph(model.graph)
    require_matches(keep_float, layers)
    choices = {}
    for layer in layers:
        pattern = first_match(layer.name, keep_float)
        if pattern:
            choices[layer.name] = Choice(Arithmetic.FLOAT, f"matches {pattern}")
        elif layer.role is Role.CLASSIFIER:
            choices[layer.name] = Choice(Arithmetic.FLOAT, CLASSIFIER_REASON)
        else:
            choices[layer.name] = Choice(Arithmetic.INT8_WEIGHTS, _REASON)
    placement = placement_from_choices(model.graph, choices, residual=False)
    table = CalibrationTable({}, onnx_sha256, "", 0)
    written = fp16_from_fp32(int8_from_fp32(model, table, placement, onnx_sha256))
    require_valid_qdq(written)
    return MadeWeightOnly(without_inferred_shapes(written), placement)


def weight_only_record(
    model: onnx.ModelProto, made: MadeWeightOnly, images: Int8Images, warnings: tuple[str, ...]
) -> Int8Record:
    """Compares the variant with FP32 in ONNX Runtime; nothing was fitted, so every image may judge."""
    is_fake = np.concatenate([images.fitted.is_fake, images.judging.is_fake])
    expected, got = (_logits(graph, images) for graph in (model, made.model))
    verdict = verdict_from_logits(got, expected, is_fake, within_class_variance(expected, is_fake))
    stored = {layer.name for layer in made.placement.weight_only}
    reasons = {layer.name: layer.reason for layer in made.placement.float_layers}
    groups = tuple(
        GroupRecord(
            name=group.name,
            role=group.role.value,
            layers=tuple(layer.name for layer in group.layers),
            weights=group.weights,
            macs=group.macs,
            int8_sqnr_db=None,
            weights_sqnr_db=None,
            restored_sqnr_db=None,
            arithmetic="int8-weights" if all(layer.name in stored for layer in group.layers) else "float",
            reason=next((reasons[layer.name] for layer in group.layers if layer.name in reasons), _REASON),
        )
        for group in groups_from_graph(model)
    )
    return Int8Record(
        recipe="weights",
        groups=groups,
        frontier=(),
        repairs=(),
        size_mib=made.model.ByteSize() / _MIB,
        max_size_mib=None,
        sqnr_db=verdict.sqnr_db,
        min_sqnr_db=None,
        flipped=verdict.flipped,
        auc_difference=verdict.auc_difference,
        max_auc_drop=None,
        fitted_images=0,
        held_back_images=len(is_fake),
        range_methods={},
        equalized_tensors=0,
        warnings=warnings,
    )


def _logits(model: onnx.ModelProto, images: Int8Images) -> NDArray[np.float64]:
    with OnnxRunner(model) as runner:
        batches = [*images.fitted.batches, *images.judging.batches]
        return np.concatenate([runner.infer(batch.numpy()) for batch in batches]).astype(np.float64)
