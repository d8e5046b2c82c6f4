"""Placements and ranges that tests plant instead of measuring them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx

from calibration.int8_from_table import int8_from_fp32
from calibration.placement import Placement, PlacementPolicy, placement_from_graph
from calibration.table import CalibrationTable, TensorRange

if TYPE_CHECKING:
    from collections.abc import Iterable

EVERYTHING = PlacementPolicy(stem=True, depthwise=True, squeeze_excite=True, head=True, classifier=True)
DIGEST = "f" * 64


def planted_table(
    placement: Placement, rng: np.random.Generator, low: float = 0.5, high: float = 4.0
) -> CalibrationTable:
    """Gives every tensor of a placement a random range."""
    ranges = {}
    for tensor in placement.tensors:
        amax = float(rng.uniform(low, high))
        ranges[tensor] = TensorRange(amax, "mse", -amax, amax)
    return CalibrationTable(ranges, DIGEST, "0" * 64, 8)


def quantized_model(model: onnx.ModelProto, policy: PlacementPolicy, seed: int = 0) -> onnx.ModelProto:
    """Quantizes a model with planted ranges."""
    placement = placement_from_graph(model.graph, policy)
    return int8_from_fp32(model, planted_table(placement, np.random.default_rng(seed)), placement, DIGEST)


def with_outputs(model: onnx.ModelProto, tensors: Iterable[str]) -> onnx.ModelProto:
    """Returns a copy that also gives out tensors."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    copy.graph.output.extend(onnx.ValueInfoProto(name=tensor) for tensor in tensors)
    return copy
