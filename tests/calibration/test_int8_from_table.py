from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from onnx import numpy_helper

from calibration.errors import CalibrationError, QuantizationError
from calibration.int8_from_table import (
    METADATA_KEY,
    SMALLEST_SCALE,
    int8_from_fp32,
    quantized_weight,
    scale_from_amax,
)
from calibration.placement import PlacementPolicy, placement_from_graph
from calibration.qdq_lint import lint_qdq
from calibration.table import CalibrationTable, TensorRange
from export.contract import METADATA_KEY as CONTRACT_KEY
from export.half_precision import fp16_from_fp32
from export.runners import OnnxRunner, session_from_model
from tests.calibration.planted import DIGEST, EVERYTHING, planted_table, quantized_model, with_outputs
from tests.calibration.torch_graph import run_in_torch

if TYPE_CHECKING:
    import onnx

POLICIES = [PlacementPolicy(), EVERYTHING, replace(EVERYTHING, residual=False)]


def infer(model: onnx.ModelProto, images: np.ndarray) -> np.ndarray:
    with OnnxRunner(model) as runner:
        return runner.infer(images)


@pytest.mark.parametrize("policy", POLICIES, ids=["default", "everything", "no residual"])
@pytest.mark.parametrize("seed", range(3))
def test_logits_are_those_of_fake_quantization_in_torch(
    fp32_model: onnx.ModelProto, policy: PlacementPolicy, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    images = rng.standard_normal((7, 3, 64, 64)).astype(np.float32)
    placement = placement_from_graph(fp32_model.graph, policy)
    table = planted_table(placement, rng)
    expected = run_in_torch(fp32_model, images, placement, {t: r.amax for t, r in table.ranges.items()})
    got = infer(int8_from_fp32(fp32_model, table, placement, DIGEST), images)
    effect = np.abs(expected - infer(fp32_model, images)).max()
    assert effect > 1e-3
    # Sums in another order may move a value across a rounding boundary, which shows in the logit of that image only.
    assert np.median(np.abs(got - expected)) < 1e-3 * effect


def test_torch_walks_the_float_graph_faithfully(fp32_model: onnx.ModelProto) -> None:
    images = np.random.default_rng(0).standard_normal((2, 3, 64, 64)).astype(np.float32)
    nothing = placement_from_graph(fp32_model.graph, PlacementPolicy(float_layers=("*",)))
    np.testing.assert_allclose(run_in_torch(fp32_model, images, nothing, {}), infer(fp32_model, images), atol=1e-4)


def test_nothing_quantized_changes_nothing(fp32_model: onnx.ModelProto) -> None:
    quantized = quantized_model(fp32_model, PlacementPolicy(float_layers=("*",)))
    assert quantized.graph == fp32_model.graph


@given(
    arrays(np.float32, st.tuples(st.integers(1, 5), st.integers(1, 6)), elements=st.floats(-1e4, 1e4, width=32)),
    st.sampled_from([0, 1]),
)
def test_weight_error_is_at_most_half_a_step(weight: np.ndarray, axis: int) -> None:
    stored = quantized_weight(weight, axis)
    values, scale = stored.values, stored.scale
    assert values.dtype == np.int8
    assert values.min() >= -127
    restored = values * np.expand_dims(scale, 1 - axis).astype(np.float64)
    np.testing.assert_allclose(stored.restored, restored, rtol=1e-6)
    channel_max = np.abs(weight).max(axis=1 - axis)
    # A scale that FP16 rounds down clips the largest weight by up to 127 times the rounding of the scale.
    clipped = np.maximum(channel_max - 127 * scale.astype(np.float64), 0)
    bound = np.maximum(scale / 2, clipped) * (1 + 1e-6)
    assert np.all(np.abs(restored - weight) <= np.expand_dims(bound, 1 - axis))
    assert np.all(clipped <= channel_max * 2.0**-11)


@given(st.floats(0, 8e6))
def test_scales_are_normal_fp16_numbers(amax: float) -> None:
    scale = float(scale_from_amax(amax))
    assert float(np.float16(scale)) == scale >= SMALLEST_SCALE
    assert scale == SMALLEST_SCALE or scale == pytest.approx(amax / 127, rel=2**-11)


@pytest.mark.parametrize("amax", [1e7, np.inf, np.nan])
def test_range_beyond_fp16_is_refused(amax: float) -> None:
    with pytest.raises(QuantizationError, match="beyond what an FP16 scale"):
        scale_from_amax(amax)


def test_dead_channels_and_dead_tensors_quantize_to_zero() -> None:
    stored = quantized_weight(np.array([[0, 0], [1, -2]], np.float32), 0)
    np.testing.assert_array_equal(stored.values, [[0, 0], [64, -127]])
    assert stored.scale[0] == SMALLEST_SCALE == scale_from_amax(0.0)


@pytest.mark.parametrize("policy", [PlacementPolicy(), replace(EVERYTHING, classifier=False)])
def test_conversion_to_fp16_changes_no_integer_and_no_scale(
    fp32_model: onnx.ModelProto, policy: PlacementPolicy
) -> None:
    quantized = quantized_model(fp32_model, policy)
    converted = fp16_from_fp32(quantized)
    before = {tensor.name: numpy_helper.to_array(tensor) for tensor in quantized.graph.initializer}
    after = {tensor.name.removesuffix(".fp16"): numpy_helper.to_array(tensor) for tensor in converted.graph.initializer}
    checked = [name for name in before if name.endswith((".int8", ".scale", ".zero_point"))]
    assert len(checked) > 20
    for name in checked:
        assert after[name].dtype == (np.float16 if name.endswith(".scale") else np.int8)
        np.testing.assert_array_equal(after[name], before[name])


def test_fp16_graph_computes_what_the_fp32_graph_does(fp32_model: onnx.ModelProto) -> None:
    """ONNX Runtime would quantize biases with FP16 scales, which underflow, if the runner let it."""
    images = np.random.default_rng(5).standard_normal((4, 3, 64, 64)).astype(np.float32)
    outputs = [node.output[0] for node in fp32_model.graph.node if node.op_type == "Conv"]
    quantized = quantized_model(fp32_model, PlacementPolicy())
    expected = session_from_model(with_outputs(quantized, outputs)).run(outputs, {"image": images})
    got = session_from_model(with_outputs(fp16_from_fp32(quantized), outputs)).run(outputs, {"image": images})
    for name, reference, value in zip(outputs, expected, got, strict=True):
        noise = np.mean((value.astype(np.float64) - reference) ** 2)
        assert 10 * np.log10(np.var(reference) / noise) > 20, name


def test_float_readers_keep_the_float_tensor(b0_model: onnx.ModelProto) -> None:
    """A squeeze-and-excitation pooling that stays float reads the tensor itself, though a quantized layer reads it."""
    quantized = quantized_model(b0_model, PlacementPolicy(depthwise=True))
    inputs = {node.name: list(node.input) for node in quantized.graph.node}
    for node in b0_model.graph.node:
        if node.op_type in ("ReduceMean", "Sigmoid", "Mul"):
            assert inputs[node.name] == list(node.input)


def test_weights_are_stored_once_as_integers(fp32_model: onnx.ModelProto) -> None:
    placement = placement_from_graph(fp32_model.graph, EVERYTHING)
    quantized = quantized_model(fp32_model, EVERYTHING)
    names = {tensor.name for tensor in quantized.graph.initializer}
    described = {value.name for value in quantized.graph.value_info}
    for layer in placement.layers:
        assert layer.weight not in names | described
        assert f"{layer.weight}.int8" in names
    float_weights = [t for t in quantized.graph.initializer if t.name.endswith(".weight")]
    assert float_weights == []


def test_metadata_say_what_was_done_and_keep_the_contract(fp32_model: onnx.ModelProto) -> None:
    quantized = quantized_model(fp32_model, PlacementPolicy())
    props = {prop.key: prop.value for prop in quantized.metadata_props}
    before = {prop.key: prop.value for prop in fp32_model.metadata_props}
    assert props[CONTRACT_KEY] == before[CONTRACT_KEY]
    facts = json.loads(props[METADATA_KEY])
    placement = placement_from_graph(fp32_model.graph, PlacementPolicy())
    assert facts["layers"] == len(placement.layers)
    assert facts["tensors"] == sum(node.op_type == "QuantizeLinear" for node in quantized.graph.node)
    assert facts["methods"] == {"mse": facts["tensors"]}
    assert facts["onnx_sha256"] == DIGEST


def test_same_input_gives_the_same_bytes_and_the_source_is_left_alone(fp32_model: onnx.ModelProto) -> None:
    before = fp32_model.SerializeToString(deterministic=True)
    first, second = (quantized_model(fp32_model, EVERYTHING, seed=4) for _ in range(2))
    assert first.SerializeToString() == second.SerializeToString()
    assert fp32_model.SerializeToString(deterministic=True) == before


def test_table_of_another_file_is_refused(fp32_model: onnx.ModelProto) -> None:
    placement = placement_from_graph(fp32_model.graph, PlacementPolicy())
    table = planted_table(placement, np.random.default_rng(0))
    with pytest.raises(CalibrationError, match="calibrate this file"):
        int8_from_fp32(fp32_model, table, placement, "0" * 64)


def test_table_of_another_placement_is_refused(fp32_model: onnx.ModelProto) -> None:
    table = planted_table(placement_from_graph(fp32_model.graph, PlacementPolicy()), np.random.default_rng(0))
    with pytest.raises(CalibrationError, match="no range for tensor image"):
        int8_from_fp32(fp32_model, table, placement_from_graph(fp32_model.graph, EVERYTHING), DIGEST)


def test_exploding_range_is_refused(fp32_model: onnx.ModelProto) -> None:
    placement = placement_from_graph(fp32_model.graph, PlacementPolicy())
    ranges = {tensor: TensorRange(1e8, "minmax", -1e8, 1e8) for tensor in placement.tensors}
    with pytest.raises(QuantizationError, match="values explode"):
        int8_from_fp32(fp32_model, CalibrationTable(ranges, DIGEST, "", 1), placement, DIGEST)


def test_opset_without_fp16_scales_is_refused(fp32_model: onnx.ModelProto) -> None:
    fp32_model.opset_import[0].version = 18
    with pytest.raises(QuantizationError, match="opset 18; FP16 scales need 19"):
        quantized_model(fp32_model, PlacementPolicy())


def test_layers_that_share_a_weight_each_get_their_own_copy(b0_model: onnx.ModelProto) -> None:
    model = with_outputs(b0_model, [])
    first, second = (node for node in model.graph.node if node.name in ("blocks.3.1.conv_pw", "blocks.3.2.conv_pw"))
    second.input[1] = first.input[1]
    quantized = quantized_model(model, PlacementPolicy())
    weights = {node.name: node.input[1] for node in quantized.graph.node if node.name in (first.name, second.name)}
    assert len(set(weights.values())) == 2
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in quantized.graph.initializer}
    own, other = stored[f"{first.name}.weight.int8"], stored[f"{second.name}/{first.name}.weight.int8"]
    np.testing.assert_array_equal(own, other)
    assert lint_qdq(quantized) == ()
