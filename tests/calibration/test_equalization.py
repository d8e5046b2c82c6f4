from __future__ import annotations

import numpy as np
import onnx
import pytest

from calibration import equalization
from calibration.channel_statistics import ChannelStatistics
from calibration.equalization import equalized_from_fp32, predicted_noise, tensors_to_measure
from export.half_precision import fp16_from_fp32
from tests.calibration.small_networks import (
    constant_of,
    copied,
    images_for_tests,
    logits_of,
    replace_constants,
    small_network,
    with_wide_channels,
)
from tests.calibration.workbench import quantizable, statistics_of, values_of


def planted_statistics(values: dict[str, np.ndarray], rng: np.random.Generator) -> dict[str, ChannelStatistics]:
    """Claims ranges that have nothing to do with the values."""
    planted = {}
    for name, value in values.items():
        middle = rng.normal(0, 2, value.shape[1])
        half = np.exp(rng.normal(0, 2, value.shape[1]))
        planted[name] = ChannelStatistics(middle - half, middle + half, middle, middle**2 + half**2 / 3)
    return planted


def wide_network(seed: int) -> onnx.ModelProto:
    return with_wide_channels(small_network(seed), ["first.depthwise", "first.project", "second.pointwise"], 20)


def require_same_logits(
    model: onnx.ModelProto, statistics: dict[str, ChannelStatistics], quantized: frozenset[str], images: np.ndarray
) -> None:
    before = model.SerializeToString(deterministic=True)
    equalized, done = equalized_from_fp32(model, statistics, quantized)
    assert model.SerializeToString(deterministic=True) == before
    assert len(done) == len(statistics)
    expected = logits_of(model, images)
    np.testing.assert_allclose(logits_of(equalized, images), expected, atol=3e-4 * max(1.0, np.abs(expected).max()))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("everything", [False, True])
@pytest.mark.parametrize("planted", [False, True])
def test_function_stays_the_same_whatever_the_statistics_say(seed: int, everything: bool, planted: bool) -> None:
    model, images = wide_network(seed), images_for_tests(6, seed=seed)
    quantized = quantizable(model, everything)
    values = values_of(model, tensors_to_measure(model.graph, quantized), images)
    statistics = planted_statistics(values, np.random.default_rng(seed)) if planted else statistics_of(values)
    require_same_logits(model, statistics, quantized, images)


@pytest.mark.parametrize("fixture", ["fp32_model", "b0_model", "mobilenet_model"])
@pytest.mark.parametrize("everything", [False, True])
def test_function_of_real_networks_stays_the_same(
    fixture: str, everything: bool, request: pytest.FixtureRequest
) -> None:
    model, images = request.getfixturevalue(fixture), images_for_tests(3, 64)
    quantized = quantizable(model, everything)
    values = values_of(model, tensors_to_measure(model.graph, quantized), images)
    # Half of the channels tell the truth and half lie, so that scales and shifts of any kind occur.
    true, lies = statistics_of(values), planted_statistics(values, np.random.default_rng(0))
    mixed = {name: true[name] if i % 2 else lies[name] for i, name in enumerate(values)}
    require_same_logits(model, mixed, quantized, images)


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0])
def test_strength_one_makes_channels_equally_wide(strength: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(equalization, "STRENGTHS", (strength,))
    model, images = with_wide_channels(small_network(0), ["first.project"], 4), images_for_tests(6)
    values = values_of(model, tensors_to_measure(model.graph, quantizable(model, True)), images)
    equalized, done = equalized_from_fp32(model, statistics_of(values), quantizable(model, True))
    got = values_of(equalized, [entry.tensor for entry in done if entry.kind != "stream"], images)
    assert len(got) > 8
    spread = []
    for value in got.values():
        width = np.abs(value).max(axis=(0, *range(2, value.ndim)))
        spread.append(width.max() / width.min())
    assert {entry.strength for entry in done} == {strength}
    if strength == 1:
        assert np.median(spread) < 1.005
        # Offsets are FP16 numbers, which shows where channels are narrow and far from zero.
        assert max(spread) < 1.2
    else:
        assert max(spread) > 4 / (1 + strength)
    # All tensors of a stream share one scale, so each channel is as wide as the others in one of them.
    stream = values_of(equalized, [entry.tensor for entry in done if entry.kind == "stream"], images).values()
    widths = np.max([np.abs(value).max(axis=(0, 2, 3)) for value in stream], axis=0)
    assert bool(widths.max() / widths.min() < 1.001) is (strength == 1)


def test_shifted_tensors_are_centred() -> None:
    model, images = wide_network(1), images_for_tests(6)
    quantized = quantizable(model, True)
    values = values_of(model, tensors_to_measure(model.graph, quantized), images)
    equalized, done = equalized_from_fp32(model, statistics_of(values), quantized)
    kinds = {entry.tensor: entry.kind for entry in done if entry.shifted}
    assert len(kinds) > 5
    assert "stream" in kinds.values()
    for name, value in values_of(equalized, list(kinds), images).items():
        axes = (0, *range(2, value.ndim))
        high, low = value.max(axis=axes), value.min(axis=axes)
        # What stays FP16 reads streams, too, and wants their values around zero; the others are read as INT8 alone.
        centre = value.mean(axis=axes) if kinds[name] == "stream" else (high + low) / 2
        # Offsets are FP16 numbers, which shows where channels are narrow and far from zero.
        np.testing.assert_allclose(centre, 0, atol=0.025 * np.ptp(value), err_msg=name)


def test_operators_hold_fp16_numbers_and_survive_the_conversion() -> None:
    model, images = wide_network(2), images_for_tests(6)
    quantized = quantizable(model, True)
    values = values_of(model, tensors_to_measure(model.graph, quantized), images)
    equalized, _ = equalized_from_fp32(model, statistics_of(values), quantized)
    added = [t.name for t in equalized.graph.initializer if t.name.endswith(".by")]
    assert len(added) > 10
    for name in added:
        constant = constant_of(equalized, name)
        np.testing.assert_array_equal(constant.astype(np.float16).astype(np.float32), constant)
    expected = logits_of(model, images)
    # The planted channels are a hundred times as wide as the others, and so are the biases that FP16 rounds.
    assert np.abs(logits_of(fp16_from_fp32(equalized), images) - expected).max() < 0.05 * np.ptp(expected)


@pytest.mark.parametrize("constant", [0.0, 1e-30, 3.0, -50.0])
def test_tensors_that_never_vary_leave_the_graph_finite(constant: float) -> None:
    """A dead ReLU, a pooling of equal images: no channel has a width to divide by."""
    model, images = small_network(4), images_for_tests(4)
    quantized = quantizable(model, True)
    flat = {
        name: ChannelStatistics(*(np.full(value.shape[1], v) for v in (constant, constant, constant, constant**2)))
        for name, value in values_of(model, tensors_to_measure(model.graph, quantized), images).items()
    }
    equalized, _ = equalized_from_fp32(model, flat, quantized)
    for tensor in equalized.graph.initializer:
        assert np.all(np.isfinite(constant_of(equalized, tensor.name))), tensor.name
    # Dividing by next to nothing costs digits, but the function is still there.
    expected = logits_of(model, images)
    assert np.abs(logits_of(equalized, images) - expected).max() < 0.05 * np.abs(expected).max()


def test_shared_weights_are_left_alone() -> None:
    model, images = small_network(3), images_for_tests(4)
    # Both gates squeeze; now with the same weight, as if the exporter had found them equal.
    shared = copied(model)
    nodes = {node.name: node for node in shared.graph.node}
    replace_constants(shared, {"second.depthwise.weight": np.zeros((12, 1, 3, 3))})
    nodes["first.gate.expand"].input[1] = "head.weight.part"
    nodes["second.gate.expand"].input[1] = "second.gate.expand.weight"
    part = onnx.numpy_helper.from_array(constant_of(model, "first.gate.expand.weight"), "head.weight.part")
    shared.graph.initializer.append(part)
    extra = onnx.helper.make_node(
        "Conv", ["first.gate.act/Mul.out", "head.weight.part"], ["extra.out"], name="extra", pads=[0] * 4
    )
    add = onnx.helper.make_node("Add", ["extra.out", "first.gate.expand.out"], ["both.out"], name="both")
    position = list(shared.graph.node).index(nodes["first.gate/Sigmoid"])
    nodes["first.gate/Sigmoid"].input[0] = "both.out"
    shared.graph.node.insert(position, add)
    shared.graph.node.insert(position, extra)
    quantized = quantizable(shared, True)
    tensors = tensors_to_measure(shared.graph, quantized)
    assert "first.gate.act/Mul.out" not in tensors
    assert "second.gate.act/Mul.out" in tensors
    statistics = planted_statistics(values_of(shared, tensors, images), np.random.default_rng(0))
    equalized, _ = equalized_from_fp32(shared, statistics, quantized)
    np.testing.assert_array_equal(constant_of(equalized, "head.weight.part"), constant_of(shared, "head.weight.part"))
    require_same_logits(shared, statistics, quantized, images)


@pytest.mark.parametrize("sparsity", [0.0, 0.5])
@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0])
def test_predicted_noise_is_that_of_real_rounding(sparsity: float, strength: float) -> None:
    """Monte Carlo: values and weights are rounded with NumPy, and the mean error of an output is left out."""
    rng = np.random.default_rng(0)
    channels, outputs, count = 96, 60, 20_000
    width = np.exp(rng.normal(0, 1, channels))
    values = width * rng.uniform(-1, 1, (count, channels))
    scale = width**strength
    weight = rng.standard_normal((outputs, channels)) * (rng.random((outputs, channels)) >= sparsity)
    step = np.abs(values / scale).max() / 127
    rounded = step * np.rint(values / scale / step)
    steps = np.abs(weight * scale).max(axis=1, keepdims=True) / 127
    rounded_weight = steps * np.rint(weight * scale / steps)
    error = rounded @ rounded_weight.T - values @ weight.T
    power = float(np.var(values @ weight.T, axis=0).sum())
    measured = float(np.var(error, axis=0).sum()) / power
    predicted = predicted_noise(width, scale, values.var(axis=0), [weight], [power])
    assert predicted == pytest.approx(measured, rel=0.08)


def test_chosen_strength_is_the_best_in_a_simulation() -> None:
    """A channel a hundred times wider: scaling helps, and the record's figures say so."""
    model, images = with_wide_channels(small_network(0), ["first.project"], 100), images_for_tests(8)
    values = values_of(model, tensors_to_measure(model.graph, quantizable(model, True)), images)
    _, done = equalized_from_fp32(model, statistics_of(values), quantizable(model, True))
    stream = next(entry for entry in done if entry.tensor == "first.project.out")
    assert stream.strength > 0
    assert all(entry.noise_after <= entry.noise_before for entry in done)
    assert stream.noise_after < stream.noise_before / 4
