from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from calibration.errors import QuantizationError
from calibration.int8_from_table import ZERO_POINT
from calibration.placement import PlacementPolicy
from calibration.qdq_lint import lint_qdq, require_valid_qdq
from export.half_precision import fp16_from_fp32
from tests.calibration.planted import EVERYTHING, quantized_model

if TYPE_CHECKING:
    from collections.abc import Callable

LAYER = "blocks.4.0.conv_pw"
INPUT = "blocks.3.0.conv_pwl.out"
WEIGHT_DQ = f"{LAYER}.weight/DQ"
QUANTIZER = f"{INPUT}/Q"
DEQUANTIZER = f"{INPUT}/DQ"


def node_named(model: onnx.ModelProto, name: str) -> onnx.NodeProto:
    node: onnx.NodeProto = next(node for node in model.graph.node if node.name == name)
    return node


def replace_constant(model: onnx.ModelProto, name: str, value: np.ndarray) -> None:
    stored = next(tensor for tensor in model.graph.initializer if tensor.name == name)
    stored.CopyFrom(numpy_helper.from_array(value, name))


def add_constant(model: onnx.ModelProto, name: str, value: np.ndarray) -> str:
    model.graph.initializer.append(numpy_helper.from_array(value, name))
    return name


def insert_pair(model: onnx.ModelProto, reader: str, index: int) -> None:
    """Puts a Q/DQ pair before an input of a node."""
    node = node_named(model, reader)
    tensor, constants = node.input[index], list(node_named(model, QUANTIZER).input[1:])
    quantizer = helper.make_node("QuantizeLinear", [tensor, *constants], ["planted.q"], name="planted/Q")
    dequantizer = helper.make_node("DequantizeLinear", ["planted.q", *constants], ["planted.dq"], name="planted/DQ")
    position = list(model.graph.node).index(node)
    node.input[index] = "planted.dq"
    model.graph.node.insert(position, dequantizer)
    model.graph.node.insert(position, quantizer)


def nonzero_zero_point(model: onnx.ModelProto) -> None:
    replace_constant(model, ZERO_POINT, np.array(3, np.int8))


def uint8_zero_point(model: onnx.ModelProto) -> None:
    replace_constant(model, ZERO_POINT, np.array(0, np.uint8))


def missing_zero_point(model: onnx.ModelProto) -> None:
    del node_named(model, QUANTIZER).input[2:]


def computed_zero_point(model: onnx.ModelProto) -> None:
    node_named(model, QUANTIZER).input[2] = computed(model, ZERO_POINT, "Identity")


def computed_scale(model: onnx.ModelProto) -> None:
    node_named(model, QUANTIZER).input[1] = computed(model, scale_of(model), "Abs")


def computed(model: onnx.ModelProto, name: str, operator: str) -> str:
    model.graph.node.insert(0, helper.make_node(operator, [name], ["planted"], name="planted"))
    return "planted"


def scale_of(model: onnx.ModelProto) -> str:
    return str(node_named(model, QUANTIZER).input[1])


def set_scale(model: onnx.ModelProto, value: float | list[float]) -> None:
    stored = next(tensor for tensor in model.graph.initializer if tensor.name == scale_of(model))
    dtype = numpy_helper.to_array(stored).dtype
    replace_constant(model, scale_of(model), np.array(value, dtype))


def zero_scale(model: onnx.ModelProto) -> None:
    set_scale(model, 0.0)


def infinite_scale(model: onnx.ModelProto) -> None:
    set_scale(model, np.inf)


def subnormal_scale(model: onnx.ModelProto) -> None:
    set_scale(model, 3e-5)


def per_channel_activation(model: onnx.ModelProto) -> None:
    set_scale(model, [0.01] * 48)


def wrong_weight_axis(model: onnx.ModelProto) -> None:
    node_named(model, WEIGHT_DQ).attribute[0].i = 1


def blocked_weight(model: onnx.ModelProto) -> None:
    node_named(model, WEIGHT_DQ).attribute.append(helper.make_attribute("block_size", 16))


def old_opset(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 18


def fp32_scale(model: onnx.ModelProto) -> None:
    name = add_constant(model, "planted", np.array(0.01, np.float32))
    for node in (QUANTIZER, DEQUANTIZER):
        node_named(model, node).input[1] = name


def int32_bias(model: onnx.ModelProto) -> None:
    names = [
        add_constant(model, "planted.bias", np.zeros(192, np.int32)),
        add_constant(model, "planted.scale", np.full(192, 0.01, np.float16)),
    ]
    model.graph.node.insert(0, helper.make_node("DequantizeLinear", names, ["planted"], name="planted bias", axis=0))
    node_named(model, LAYER).input[2] = "planted"


def quantizer_without_dequantizer(model: onnx.ModelProto) -> None:
    target = node_named(model, LAYER).input
    cast = helper.make_node("Cast", [f"{INPUT}.q"], ["planted"], name="planted", to=TensorProto.FLOAT16)
    model.graph.node.insert(list(model.graph.node).index(node_named(model, LAYER)), cast)
    target[0] = "planted"


def quantizer_read_by_nobody(model: onnx.ModelProto) -> None:
    node_named(model, LAYER).input[0] = INPUT
    model.graph.node.remove(node_named(model, DEQUANTIZER))


def dequantizer_without_quantizer(model: onnx.ModelProto) -> None:
    name = add_constant(model, "planted", np.array(0, np.int8))
    node_named(model, DEQUANTIZER).input[0] = "planted.sum"
    add = helper.make_node("Add", [f"{INPUT}.q", name], ["planted.sum"], name="planted")
    model.graph.node.insert(list(model.graph.node).index(node_named(model, DEQUANTIZER)), add)


def unequal_scales(model: onnx.ModelProto) -> None:
    node_named(model, DEQUANTIZER).input[1] = add_constant(model, "planted", np.array(0.01, np.float16))


def pair_before_activation(model: onnx.ModelProto) -> None:
    insert_pair(model, "blocks.4.0.bn1.act/Sigmoid", 0)


def pair_inside_activation(model: onnx.ModelProto) -> None:
    insert_pair(model, "blocks.4.0.bn1.act/Mul", 1)


def pair_on_the_linear_side_of_the_activation(model: onnx.ModelProto) -> None:
    insert_pair(model, "blocks.4.0.bn1.act/Mul", 0)


def float_activation(model: onnx.ModelProto) -> None:
    node_named(model, LAYER).input[0] = INPUT
    for name in (DEQUANTIZER, QUANTIZER):
        model.graph.node.remove(node_named(model, name))


def float_weight(model: onnx.ModelProto) -> None:
    stored = next(tensor for tensor in model.graph.initializer if tensor.name == f"{LAYER}.weight.int8")
    values = numpy_helper.to_array(stored).astype(np.float16)
    node_named(model, LAYER).input[1] = add_constant(model, "planted", values)


def cast_between_pair_and_layer(model: onnx.ModelProto) -> None:
    layer = node_named(model, LAYER)
    cast = helper.make_node("Cast", [layer.input[0]], ["planted"], name="planted", to=TensorProto.FLOAT16)
    model.graph.node.insert(list(model.graph.node).index(layer), cast)
    layer.input[0] = "planted"


def mixed_types(model: onnx.ModelProto) -> None:
    scale = next(n for n in node_named(model, WEIGHT_DQ).input if ".scale" in n)
    node_named(model, WEIGHT_DQ).input[1] = add_constant(model, "planted", constant(model, scale).astype(np.float32))


def constant(model: onnx.ModelProto, name: str) -> np.ndarray:
    return numpy_helper.to_array(next(tensor for tensor in model.graph.initializer if tensor.name == name))


def integer_operator(model: onnx.ModelProto) -> None:
    node_named(model, LAYER).op_type = "QLinearConv"


def dynamic_quantization(model: onnx.ModelProto) -> None:
    node_named(model, QUANTIZER).op_type = "DynamicQuantizeLinear"


FAULTS: list[tuple[Callable[[onnx.ModelProto], None], str, str]] = [
    (nonzero_zero_point, "zero-point", QUANTIZER),
    (uint8_zero_point, "zero-point", QUANTIZER),
    (missing_zero_point, "zero-point", QUANTIZER),
    (computed_zero_point, "zero-point", QUANTIZER),
    (computed_scale, "scale", QUANTIZER),
    (zero_scale, "scale", QUANTIZER),
    (infinite_scale, "scale", DEQUANTIZER),
    (subnormal_scale, "scale", QUANTIZER),
    (per_channel_activation, "granularity", QUANTIZER),
    (blocked_weight, "granularity", WEIGHT_DQ),
    (wrong_weight_axis, "axis", WEIGHT_DQ),
    (old_opset, "opset", QUANTIZER),
    (fp32_scale, "scale-type", QUANTIZER),
    (int32_bias, "stored-type", "planted bias"),
    (int32_bias, "half-quantized", LAYER),
    (quantizer_without_dequantizer, "pairing", QUANTIZER),
    (quantizer_read_by_nobody, "pairing", QUANTIZER),
    (dequantizer_without_quantizer, "pairing", DEQUANTIZER),
    (unequal_scales, "pairing", DEQUANTIZER),
    (pair_before_activation, "activation", "planted/DQ"),
    (pair_inside_activation, "activation", "planted/DQ"),
    (pair_on_the_linear_side_of_the_activation, "activation", "planted/DQ"),
    (float_weight, "half-quantized", LAYER),
    (cast_between_pair_and_layer, "operand-type", DEQUANTIZER),
    (mixed_types, "operand-type", LAYER),
    (integer_operator, "operator", LAYER),
    (dynamic_quantization, "operator", QUANTIZER),
]


@pytest.fixture
def quantized(fp32_model: onnx.ModelProto) -> onnx.ModelProto:
    """A clean FP16 graph with Q/DQ pairs."""
    return fp16_from_fp32(quantized_model(fp32_model, PlacementPolicy()))


def test_clean_graphs_pass(fp32_model: onnx.ModelProto, quantized: onnx.ModelProto) -> None:
    for model in (fp32_model, fp16_from_fp32(fp32_model), quantized, quantized_model(fp32_model, EVERYTHING)):
        assert lint_qdq(model) == ()
        require_valid_qdq(model)


@pytest.mark.parametrize(("plant", "rule", "node"), FAULTS, ids=lambda value: getattr(value, "__name__", None))
def test_planted_fault_is_found_at_its_node(
    quantized: onnx.ModelProto, plant: Callable[[onnx.ModelProto], None], rule: str, node: str
) -> None:
    plant(quantized)
    assert (rule, node) in [(finding.rule, finding.node) for finding in lint_qdq(quantized)]
    with pytest.raises(QuantizationError, match="TensorRT would refuse or misread"):
        require_valid_qdq(quantized)


def test_int8_weight_of_a_layer_that_computes_in_floating_point_is_fine(quantized: onnx.ModelProto) -> None:
    float_activation(quantized)
    assert lint_qdq(quantized) == ()


def test_pair_before_a_pooling_is_fine_though_its_axes_are_integers(fp32_model: onnx.ModelProto) -> None:
    model = quantized_model(fp32_model, PlacementPolicy())
    insert_pair(model, "blocks.3.0.se/ReduceMean", 0)
    assert lint_qdq(model) == ()


def test_both_inputs_of_a_residual(b0_model: onnx.ModelProto) -> None:
    model = quantized_model(b0_model, PlacementPolicy())
    addition = node_named(model, "blocks.1.1/Add")
    other = next(index for index, name in enumerate(addition.input) if not name.endswith(".dq"))
    constants = list(node_named(model, "blocks.1.0.conv_pwl.out/Q").input[1:])
    pair = [
        helper.make_node("QuantizeLinear", [addition.input[other], *constants], ["planted.q"], name="planted/Q"),
        helper.make_node("DequantizeLinear", ["planted.q", *constants], ["planted.dq"], name="planted/DQ"),
    ]
    position = list(model.graph.node).index(addition)
    addition.input[other] = "planted.dq"
    for node in reversed(pair):
        model.graph.node.insert(position, node)
    assert [(finding.rule, finding.node) for finding in lint_qdq(model)] == [("residual", "blocks.1.1/Add")]


def float_weight_behind_a_pair(axis: int) -> onnx.ModelProto:
    """Makes a Gemm whose weight (2, 3), output channels first, is float and goes through Q and DQ along `axis`."""
    constants: dict[str, np.ndarray] = {
        "w": np.ones((2, 3), np.float32),
        "s": np.full((2, 3)[axis], 0.01, np.float32),
        "z": np.zeros((2, 3)[axis], np.int8),
        "xs": np.array(0.01, np.float32),
        "xz": np.array(0, np.int8),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "xs", "xz"], ["xq"], name="Qx"),
        helper.make_node("DequantizeLinear", ["xq", "xs", "xz"], ["xd"], name="DQx"),
        helper.make_node("QuantizeLinear", ["w", "s", "z"], ["wq"], name="Qw", axis=axis),
        helper.make_node("DequantizeLinear", ["wq", "s", "z"], ["wd"], name="DQw", axis=axis),
        helper.make_node("Gemm", ["xd", "wd"], ["y"], name="fc", transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "planted",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 2])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])


def test_float_weight_behind_a_pair_is_a_weight() -> None:
    assert lint_qdq(float_weight_behind_a_pair(axis=0)) == ()
    wrong = lint_qdq(float_weight_behind_a_pair(axis=1))
    assert [(finding.rule, finding.node) for finding in wrong] == [("axis", "Qw"), ("axis", "DQw")]
