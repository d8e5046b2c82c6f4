"""The real parser of TensorRT for RTX reads what this room writes; it needs no GPU for that."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from onnx import numpy_helper

from calibration.int8_from_table import ZERO_POINT
from calibration.int8_weights import make_weight_only
from calibration.placement import PlacementPolicy
from calibration.qdq_lint import lint_qdq
from export.half_precision import fp16_from_fp32
from tests.calibration.planted import DIGEST, EVERYTHING, quantized_model

if TYPE_CHECKING:
    import onnx

trt = pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx is not installed; pip install 'engine-signoff[rtx]'")


def parsed(model: onnx.ModelProto) -> tuple[Any, list[str]]:
    """Parses a model into a strongly typed network; returns the network and the parser's errors."""
    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    accepted = parser.parse(model.SerializeToString())
    errors = [parser.get_error(index).desc() for index in range(parser.num_errors)]
    assert accepted or errors
    return (builder, network, parser), errors


def kinds(network: Any) -> dict[str, Any]:
    return {network.get_layer(index).name: network.get_layer(index).type for index in range(network.num_layers)}


@pytest.mark.parametrize(
    "policy", [PlacementPolicy(), replace(EVERYTHING, classifier=False)], ids=["default", "all but the classifier"]
)
def test_every_pair_of_efficientnet_arrives_in_the_network(b0_model: onnx.ModelProto, policy: PlacementPolicy) -> None:
    model = fp16_from_fp32(quantized_model(b0_model, policy))
    assert lint_qdq(model) == ()
    (_, network, _), errors = parsed(model)
    assert errors == []
    found = list(kinds(network).values())
    operators = [node.op_type for node in model.graph.node]
    assert found.count(trt.LayerType.QUANTIZE) == operators.count("QuantizeLinear")
    assert found.count(trt.LayerType.DEQUANTIZE) == operators.count("DequantizeLinear")


def test_weight_only_graph_arrives_with_nothing_quantized_at_run_time(b0_model: onnx.ModelProto) -> None:
    made = make_weight_only(b0_model, DIGEST, ())
    (_, network, _), errors = parsed(made.model)
    assert errors == []
    found = list(kinds(network).values())
    assert trt.LayerType.QUANTIZE not in found
    assert found.count(trt.LayerType.DEQUANTIZE) == len(made.placement.weight_only) == 81


def test_parser_takes_uint8_without_an_error_so_that_the_linter_must_not(b0_model: onnx.ModelProto) -> None:
    model = fp16_from_fp32(quantized_model(b0_model, PlacementPolicy()))
    for tensor in model.graph.initializer:
        if tensor.name == ZERO_POINT:
            tensor.CopyFrom(numpy_helper.from_array(np.array(0, np.uint8), tensor.name))
    assert parsed(model)[1] == []
    assert {finding.rule for finding in lint_qdq(model)} == {"zero-point"}


def test_parser_refuses_what_the_linter_refuses(b0_model: onnx.ModelProto) -> None:
    model = fp16_from_fp32(quantized_model(b0_model, PlacementPolicy()))
    for tensor in model.graph.initializer:
        if tensor.name == ZERO_POINT:
            tensor.CopyFrom(numpy_helper.from_array(np.array(3, np.int8), tensor.name))
    assert parsed(model)[1]
    assert lint_qdq(model)
