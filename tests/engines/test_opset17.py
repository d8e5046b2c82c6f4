"""A graph for TensorRT 8.6: ONNX Runtime and ONNX's checker judge it; the names of what 8.6 imports are a list here."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from calibration.int8_weights import make_weight_only
from calibration.placement import PlacementPolicy, placement_from_graph
from engines.opset17 import weakly_typed_from_typed
from export.contract import InputContract
from export.errors import BackendError
from export.half_precision import fp16_from_fp32
from export.runners import OnnxRunner
from export.uint8_input import takes_uint8, with_uint8_input
from tests.calibration.planted import DIGEST, EVERYTHING, quantized_model

if TYPE_CHECKING:
    from collections.abc import Callable

CONTRACT = InputContract(64)
CONVERSIONS: dict[str, Callable[[onnx.ModelProto], onnx.ModelProto]] = {
    "fp32": lambda model: model,
    "fp16": fp16_from_fp32,
    "int8 in fp32": lambda model: quantized_model(model, EVERYTHING),
    "int8": lambda model: fp16_from_fp32(quantized_model(model, PlacementPolicy(store_int8=True))),
    "weights": lambda model: make_weight_only(model, DIGEST, ()).model,
}
# docs/operators.md of onnx/onnx-tensorrt for 8.6, as far as an EfficientNet needs it.
IMPORTED_BY_86 = {
    *("Add", "Cast", "Conv", "DequantizeLinear", "Div", "Gemm", "GlobalAveragePool", "HardSigmoid", "HardSwish", "Mul"),
    *("QuantizeLinear", "ReduceMean", "Relu", "Reshape", "Sigmoid", "Sub", "Transpose"),
}


def constants(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


@pytest.fixture(params=CONVERSIONS)
def typed(request: pytest.FixtureRequest, fp32_model: onnx.ModelProto) -> onnx.ModelProto:
    return CONVERSIONS[request.param](fp32_model)


@pytest.mark.parametrize("pixels", [False, True])
@pytest.mark.parametrize("conversion", ["fp32", "fp16", "int8 in fp32", "weights"])
def test_scores_are_those_of_the_typed_graph(conversion: str, pixels: bool, fp32_model: onnx.ModelProto) -> None:
    """ONNX Runtime computes FP16 in FP32, so that the numbers are the same up to the order of sums."""
    typed = CONVERSIONS[conversion](fp32_model)
    generator = np.random.default_rng(2)
    model = with_uint8_input(typed, CONTRACT) if pixels else typed
    images = generator.standard_normal((4, 3, 64, 64)).astype(np.float32)
    given = generator.integers(0, 256, (4, 64, 64, 3), dtype=np.uint8) if pixels else images
    with OnnxRunner(model) as source, OnnxRunner(weakly_typed_from_typed(model).model) as weak:
        expected = source.infer(given)
        assert np.ptp(expected) > 1e-3
        np.testing.assert_allclose(weak.infer(given), expected, atol=1e-5)
        np.testing.assert_allclose(weak.infer(given[:1]), source.infer(given[:1]), atol=1e-5)


def test_int8_layers_use_the_very_weights(fp32_model: onnx.ModelProto) -> None:
    """The typed graph rounds restored weights to FP16, which an INT8 layer does not, so another graph is the judge.

    It is the FP32 Q/DQ graph with every number that FP16 stores rounded; scales are FP16 numbers from the start.
    """
    quantized = quantized_model(fp32_model, PlacementPolicy())
    made = weakly_typed_from_typed(fp16_from_fp32(quantized)).model
    for tensor in quantized.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT and not tensor.name.startswith("classifier"):
            halved = numpy_helper.to_array(tensor).astype(np.float16).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(halved, tensor.name))
    images = np.random.default_rng(2).standard_normal((4, 3, 64, 64)).astype(np.float32)
    with OnnxRunner(quantized) as judge, OnnxRunner(made) as weak, OnnxRunner(fp32_model) as unquantized:
        expected = judge.infer(images)
        np.testing.assert_allclose(weak.infer(images), expected, atol=1e-5)
        assert np.abs(unquantized.infer(images) - expected).max() > 1e-2


def test_graph_is_fp32_in_opset_17(typed: onnx.ModelProto) -> None:
    before = typed.SerializeToString(deterministic=True)
    made = weakly_typed_from_typed(typed).model
    assert typed.SerializeToString(deterministic=True) == before
    assert [(entry.domain, entry.version) for entry in made.opset_import] == [("", 17)]
    assert made.ir_version == 8
    onnx.checker.check_model(made, full_check=True)
    inferred = onnx.shape_inference.infer_shapes(made, check_type=True, strict_mode=True)
    values = [*inferred.graph.input, *inferred.graph.value_info, *inferred.graph.output]
    types = {value.type.tensor_type.elem_type for value in values} | {t.data_type for t in made.graph.initializer}
    assert types <= {TensorProto.FLOAT, TensorProto.INT8, TensorProto.INT64}
    assert {node.op_type for node in made.graph.node} <= IMPORTED_BY_86
    assert list(made.metadata_props) == list(typed.metadata_props)
    assert [value.name for value in made.graph.output] == ["logit"]


def test_nodes_that_remain_keep_their_names_and_others_are_casts(typed: onnx.ModelProto) -> None:
    made = weakly_typed_from_typed(typed).model
    old = {node.name: node.op_type for node in typed.graph.node}
    new = {node.name: node.op_type for node in made.graph.node}
    gone = Counter(old[name] for name in old.keys() - new.keys())
    assert gone.keys() <= {"Cast", "DequantizeLinear"}
    assert "Cast" not in new.values()
    assert {op_type for name, op_type in new.items() if name not in old} <= {"QuantizeLinear"}
    assert all(old[name] == op_type for name, op_type in new.items() if name in old)


def test_weights_are_the_same_numbers(typed: onnx.ModelProto) -> None:
    made, source = constants(weakly_typed_from_typed(typed).model), constants(typed)
    shared = made.keys() & source.keys()
    assert len(shared) > 10
    for name in shared:
        np.testing.assert_array_equal(made[name], source[name])


@pytest.mark.parametrize("half", [False, True])
def test_int8_weights_round_back_to_the_very_steps(half: bool, fp32_model: onnx.ModelProto) -> None:
    quantized = quantized_model(fp32_model, EVERYTHING)
    source = constants(quantized)
    made = weakly_typed_from_typed(fp16_from_fp32(quantized) if half else quantized).model
    values = constants(made)
    checked = 0
    for node in made.graph.node:
        if node.op_type == "QuantizeLinear" and node.input[0] in values:
            weight, scale, zero = (values[name] for name in node.input)
            assert zero.shape == scale.shape
            assert zero.dtype == np.int8
            steps = rounded(weight, scale, node)
            np.testing.assert_array_equal(steps, source[node.output[0]])
            checked += 1
    assert checked == len(placement_from_graph(fp32_model.graph, EVERYTHING).layers)


def rounded(weight: np.ndarray, scale: np.ndarray, node: onnx.NodeProto) -> np.ndarray:
    """QuantizeLinear as ONNX's reference implementation computes it."""
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info(node.input[0], TensorProto.FLOAT, weight.shape)],
        [helper.make_tensor_value_info(node.output[0], TensorProto.INT8, weight.shape)],
        [
            numpy_helper.from_array(scale, node.input[1]),
            numpy_helper.from_array(np.zeros(scale.shape, np.int8), node.input[2]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return np.asarray(ReferenceEvaluator(model).run(None, {node.input[0]: weight})[0])


def test_every_step_times_every_fp16_scale_rounds_back() -> None:
    """All 255 steps with all 30,720 normal FP16 scales."""
    patterns = np.arange(2**10, 0x7C00, dtype=np.uint16)
    scales = patterns.view(np.float16).astype(np.float32)
    assert scales[0] == np.float32(2.0**-14)
    for step in range(-127, 128):
        restored = np.float32(step) * scales
        np.testing.assert_array_equal(np.rint(restored / scales), step)


def test_quantizers_have_three_inputs(typed: onnx.ModelProto) -> None:
    model = weakly_typed_from_typed(typed).model
    types = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            assert len(node.input) == 3
            assert (types[node.input[1]], types[node.input[2]]) == (TensorProto.FLOAT, TensorProto.INT8)
            # A constant that is INT8 already is not what 8.6 documents.
            assert types.get(node.input[0], TensorProto.FLOAT) == TensorProto.FLOAT
        for name in node.input:
            if node.op_type == "ReduceMean":
                assert types.get(name) != TensorProto.INT64, "8.6 ignores axes that are an input"


def test_axes_become_an_attribute(fp32_model: onnx.ModelProto) -> None:
    made = weakly_typed_from_typed(fp32_model).model
    source = constants(fp32_model)
    expected = {n.name: source[n.input[1]].tolist() for n in fp32_model.graph.node if n.op_type == "ReduceMean"}
    found = {
        node.name: next(list(item.ints) for item in node.attribute if item.name == "axes")
        for node in made.graph.node
        if node.op_type == "ReduceMean"
    }
    assert expected
    assert found == expected


def independent_precisions(model: onnx.ModelProto) -> dict[str, str]:
    """By types that ONNX infers; INT8 by the names of what the placement quantized."""
    inferred = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
    values = [*inferred.graph.input, *inferred.graph.value_info, *inferred.graph.output]
    types = {value.name: value.type.tensor_type.elem_type for value in values}
    types |= {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    floats = {TensorProto.FLOAT: "FP32", TensorProto.FLOAT16: "FP16"}
    return {
        node.name: floats[types[node.output[0]]]
        for node in inferred.graph.node
        if types[node.input[0]] in floats and types[node.output[0]] in floats and node.op_type != "Cast"
    }


def test_precisions_are_the_types_of_the_graph(typed: onnx.ModelProto) -> None:
    found = weakly_typed_from_typed(typed).precisions
    expected = independent_precisions(typed)
    assert found.keys() == expected.keys()
    assert {name: kind for name, kind in found.items() if kind != "INT8"}.items() <= expected.items()


@pytest.mark.parametrize("policy", [PlacementPolicy(), PlacementPolicy(store_int8=True), EVERYTHING])
def test_int8_precisions_are_the_layers_of_the_placement(policy: PlacementPolicy, fp32_model: onnx.ModelProto) -> None:
    found = weakly_typed_from_typed(fp16_from_fp32(quantized_model(fp32_model, policy)))
    layers = {layer.name for layer in placement_from_graph(fp32_model.graph, policy).layers}
    assert {name for name, kind in found.precisions.items() if kind == "INT8"} == layers
    quantized_weights = [node for node in found.model.graph.node if node.op_type == "QuantizeLinear"]
    assert len(quantized_weights) == len(layers) + len(placement_from_graph(fp32_model.graph, policy).activations)


def test_cast_of_pixels_stays_and_computes_nothing(fp32_model: onnx.ModelProto) -> None:
    found = weakly_typed_from_typed(with_uint8_input(fp16_from_fp32(fp32_model), CONTRACT))
    casts = [node for node in found.model.graph.node if node.op_type == "Cast"]
    assert [list(node.input) for node in casts] == [["image"]]
    assert takes_uint8(found.model)
    assert casts[0].name not in found.precisions
    assert found.precisions["image/Div"] == "FP32"


def half_typed(nodes: list[onnx.NodeProto], opset: int = 20, **values: np.ndarray) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 4, 6, 6])],
        [helper.make_tensor_value_info("logit", TensorProto.FLOAT, ["batch", "c", "h", "w"])],
        [numpy_helper.from_array(value, name) for name, value in values.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def test_output_that_is_a_cast_keeps_its_name() -> None:
    nodes = [
        helper.make_node("Cast", ["image"], ["half"], name="down", to=TensorProto.FLOAT16),
        helper.make_node("Cast", ["half"], ["again"], name="up", to=TensorProto.FLOAT),
        helper.make_node("Relu", ["half"], ["relu"], name="relu"),
        helper.make_node("Mul", ["relu", "relu"], ["square"], name="square"),
        helper.make_node("Cast", ["relu"], ["logit"], name="out", to=TensorProto.FLOAT),
        helper.make_node("Sigmoid", ["relu"], ["unread"], name="unread"),
    ]
    found = weakly_typed_from_typed(half_typed(nodes))
    assert found.precisions == {"relu": "FP16", "square": "FP16", "unread": "FP16"}
    assert [(node.name, list(node.input), list(node.output)) for node in found.model.graph.node] == [
        ("relu", ["image"], ["logit"]),
        ("square", ["logit", "logit"], ["square"]),
        ("unread", ["logit"], ["unread"]),
    ]


def test_network_that_is_a_cast_becomes_an_identity() -> None:
    nodes = [
        helper.make_node("Cast", ["image"], ["half"], name="down", to=TensorProto.FLOAT16),
        helper.make_node("Cast", ["half"], ["logit"], name="up", to=TensorProto.FLOAT),
    ]
    made = weakly_typed_from_typed(half_typed(nodes)).model
    assert [node.op_type for node in made.graph.node] == ["Identity"]


@pytest.mark.parametrize(
    ("node", "values", "message"),
    [
        (helper.make_node("Gelu", ["image"], ["logit"], name="x"), {}, r"node x is a Gelu.*TensorRT 10"),
        (
            helper.make_node("ReduceMean", ["image"], ["logit"], name="x", noop_with_empty_axes=1),
            {},
            r"ReduceMean with noop_with_empty_axes",
        ),
        (
            helper.make_node("AveragePool", ["image"], ["logit"], name="x", kernel_shape=[2, 2], dilations=[2, 2]),
            {},
            r"AveragePool with dilations",
        ),
        (
            helper.make_node("ReduceMean", ["image", "axes"], ["logit"], name="x"),
            {"axes": np.zeros(0, np.int64)},
            r"node x reduces over axes that are computed or none",
        ),
        (helper.make_node("Relu", ["image"], ["logit"]), {}, r"a Relu node has no name"),
    ],
)
def test_what_has_no_equal_is_refused(node: onnx.NodeProto, values: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(BackendError, match=message):
        weakly_typed_from_typed(half_typed([node], **values))


@pytest.mark.parametrize("zero", [np.int8(1), np.uint8(0), None])
def test_asymmetric_quantizer_is_refused(zero: np.generic | None) -> None:
    names = ["scale"] if zero is None else ["scale", "zero"]
    nodes = [
        helper.make_node("QuantizeLinear", ["image", *names], ["q"], name="quantizer"),
        helper.make_node("DequantizeLinear", ["q", *names], ["logit"], name="dequantizer"),
    ]
    values = {"scale": np.array(0.1, np.float32)} | ({} if zero is None else {"zero": np.asarray(zero)})
    with pytest.raises(BackendError, match=r"QuantizeLinear quantizer .* zero point that is not INT8 0"):
        weakly_typed_from_typed(half_typed(nodes, **values))


def test_attributes_that_say_nothing_are_left_out() -> None:
    node = helper.make_node("AveragePool", ["image"], ["logit"], name="x", kernel_shape=[2, 2], dilations=[1, 1])
    made = weakly_typed_from_typed(half_typed([node])).model
    assert [item.name for item in made.graph.node[0].attribute] == ["kernel_shape"]
