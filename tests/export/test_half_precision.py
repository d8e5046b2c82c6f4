from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from export.errors import ParityError
from export.half_precision import REDUCTIONS, fp16_from_fp32, head_nodes
from export.runners import OnnxRunner, TorchRunner
from tests.detectors import random_detector


def types_of_tensors(model: onnx.ModelProto) -> dict[str, int]:
    known = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    values = [*model.graph.input, *model.graph.output, *model.graph.value_info]
    return known | {value.name: value.type.tensor_type.elem_type for value in values}


def test_convolutions_compute_in_fp16(fp32_model: onnx.ModelProto) -> None:
    model = fp16_from_fp32(fp32_model)
    types = types_of_tensors(model)
    layers = [node for node in model.graph.node if node.op_type in ("Conv", "Sigmoid", "Mul", "Add")]
    assert layers
    assert {types[name] for node in layers for name in [*node.input, *node.output]} == {TensorProto.FLOAT16}


def test_interface_reductions_and_classifier_stay_fp32(fp32_model: onnx.ModelProto) -> None:
    model = fp16_from_fp32(fp32_model)
    types = types_of_tensors(model)
    assert (types["image"], types["logit"]) == (TensorProto.FLOAT, TensorProto.FLOAT)
    kept = [node for node in model.graph.node if node.op_type in REDUCTIONS | {"Gemm"}]
    assert len(kept) >= 2
    floats = {types[name] for node in kept for name in node.input if types[name] != TensorProto.INT64}
    assert floats == {TensorProto.FLOAT}


def test_logits_are_those_of_torch_with_rounded_weights(fp32_model: onnx.ModelProto) -> None:
    """ONNX Runtime computes FP16 in FP32 on a CPU, so only the rounding of folded weights may show."""
    images = np.random.default_rng(3).standard_normal((6, 3, 64, 64)).astype(np.float32)
    with TorchRunner(random_detector().module) as source, OnnxRunner(fp16_from_fp32(fp32_model)) as converted:
        expected, got = source.infer(images), converted.infer(images)
    assert not np.array_equal(expected, got)
    np.testing.assert_allclose(got, expected, atol=5e-3)


def test_weights_are_the_nearest_fp16(fp32_model: onnx.ModelProto) -> None:
    model = fp16_from_fp32(fp32_model)
    source = {tensor.name: numpy_helper.to_array(tensor) for tensor in fp32_model.graph.initializer}
    converted = [tensor for tensor in model.graph.initializer if tensor.data_type == TensorProto.FLOAT16]
    assert converted
    for tensor in converted:
        original = torch.from_numpy(source[tensor.name.removesuffix(".fp16")].copy())
        np.testing.assert_array_equal(numpy_helper.to_array(tensor), original.half().numpy())


def test_size_is_halved(fp32_model: onnx.ModelProto) -> None:
    weights = sum(tensor.ByteSize() for tensor in fp32_model.graph.initializer)
    halved = sum(tensor.ByteSize() for tensor in fp16_from_fp32(fp32_model).graph.initializer)
    assert 0.45 < halved / weights < 0.6


def test_metadata_survives_and_the_source_is_untouched(fp32_model: onnx.ModelProto) -> None:
    before = fp32_model.SerializeToString(deterministic=True)
    model = fp16_from_fp32(fp32_model)
    assert list(model.metadata_props) == list(fp32_model.metadata_props)
    assert fp32_model.SerializeToString(deterministic=True) == before


def test_overflowing_weight_is_refused(fp32_model: onnx.ModelProto) -> None:
    weight = next(tensor for tensor in fp32_model.graph.initializer if tensor.name == "conv_stem.weight")
    values = numpy_helper.to_array(weight).copy()
    values.flat[0] = 70000.0
    weight.CopyFrom(numpy_helper.from_array(values, weight.name))
    with pytest.raises(ParityError, match=r"conv_stem\.weight reaches 7e\+04"):
        fp16_from_fp32(fp32_model)


def test_scales_of_quantizers_become_fp16_and_integers_stay() -> None:
    rng = np.random.default_rng(0)
    weight = rng.integers(-127, 128, (4, 3, 1, 1)).astype(np.int8)
    initializers = {
        "s": np.float32(0.125),
        "z": np.int8(0),
        "w": weight,
        "ws": np.full(4, 0.0625, np.float32),
        "wz": np.zeros(4, np.int8),
        "b": rng.standard_normal(4).astype(np.float32),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["image", "s", "z"], ["q"], name="q"),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["dq"], name="dq"),
        helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["wdq"], name="wdq", axis=0),
        helper.make_node("Conv", ["dq", "wdq", "b"], ["c"], name="conv"),
        helper.make_node("ReduceMean", ["c"], ["m"], name="pool", keepdims=0),
        helper.make_node("Reshape", ["m", "shape"], ["logit"], name="reshape"),
    ]
    initializers["shape"] = np.array([1, 1], np.int64)
    graph = helper.make_graph(
        nodes,
        "quantized",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("logit", TensorProto.FLOAT, [1, 1])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in initializers.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    converted = fp16_from_fp32(model)
    types = types_of_tensors(converted)
    assert [types[name] for name in ("q", "w", "dq", "wdq")] == [TensorProto.INT8] * 2 + [TensorProto.FLOAT16] * 2
    assert types["logit"] == TensorProto.FLOAT
    image = rng.standard_normal((1, 3, 8, 8)).astype(np.float32)
    with OnnxRunner(model) as before, OnnxRunner(converted) as after:
        np.testing.assert_allclose(after.infer(image), before.infer(image), atol=1e-2)


def test_head_reaches_from_the_last_pooling_to_the_output(fp32_model: onnx.ModelProto) -> None:
    assert head_nodes(fp32_model.graph) == {"global_pool.pool/ReduceMean", "global_pool.flatten/Reshape", "classifier"}
