"""Matrix products with a bias added behind them, as transformers have them, through the INT8 search."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from calibration.bias_correction import local_corrections
from calibration.channel_statistics import StreamingChannelStatistics
from calibration.equalization import equalized_from_fp32, tensors_to_measure
from calibration.fake_quantization import FakeQuantizer, with_added_biases
from calibration.int8_weights import make_weight_only
from calibration.layer_groups import groups_from_graph
from calibration.layers import Role, biases_from_graph, layers_from_graph
from calibration.observation import with_outputs
from calibration.placement import Arithmetic
from calibration.qdq_lint import require_valid_qdq
from calibration.torch_graph import TorchGraph
from export.contract import INPUT_NAME
from export.onnx_from_torch import onnx_from_torch
from export.runners import session_from_model
from tests.calibration.small_networks import images_for_tests, logits_of
from tests.other_networks import other_detector

SIZE = 32


@pytest.fixture(scope="module")
def module() -> nn.Module:
    return other_detector("test_vit", SIZE).module


@pytest.fixture(scope="module")
def model() -> onnx.ModelProto:
    return onnx_from_torch(other_detector("test_vit", SIZE))


def linear_layers(module: nn.Module) -> dict[str, nn.Linear]:
    return {name: layer for name, layer in module.named_modules() if isinstance(layer, nn.Linear)}


def test_layers_have_the_names_and_the_weights_of_their_modules(model: onnx.ModelProto, module: nn.Module) -> None:
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    linear, biases = linear_layers(module), biases_from_graph(model.graph)
    found = {layer.name: layer for layer in layers_from_graph(model.graph)}
    assert found.keys() == {*linear, "patch_embed.proj"}
    assert biases.keys() == found.keys()
    for name, layer in linear.items():
        weight = constants[found[name].weight]
        weight = weight.T if found[name].channel_axis == 1 else weight
        np.testing.assert_array_equal(weight, layer.weight.detach().numpy())
        np.testing.assert_array_equal(constants[biases[name]], layer.bias.detach().numpy())
    assert len(set(biases.values())) == len(biases)
    assert {name for name, layer in found.items() if layer.role is Role.CLASSIFIER} == {"head"}


def test_operations_are_counted_for_every_token(model: onnx.ModelProto, module: nn.Module) -> None:
    macs = {group.name: group.macs for group in groups_from_graph(model)}
    patches = (SIZE // 16) ** 2
    tokens = {name: 1 if name == "head" else patches + 1 for name in linear_layers(module)}
    for name, layer in linear_layers(module).items():
        assert macs[name] == layer.weight.numel() * tokens[name]
    assert macs["patch_embed.proj"] == 64 * 3 * 16 * 16 * patches


@pytest.fixture(scope="module")
def equalized(model: onnx.ModelProto) -> onnx.ModelProto:
    """Statistics come from ONNX Runtime and NumPy, channel by channel along the last axis."""
    quantized = [layer.name for layer in layers_from_graph(model.graph) if layer.role is Role.CONVOLUTION]
    tensors = tensors_to_measure(model.graph, quantized)
    images = images_for_tests(4, SIZE, seed=1)
    values = session_from_model(with_outputs(model, tensors)).run(list(tensors), {INPUT_NAME: images})
    axes, statistics = TorchGraph(model).channel_axes, {}
    for tensor, value in zip(tensors, values, strict=True):
        streaming = StreamingChannelStatistics()
        streaming.update(torch.from_numpy(value), axes[tensor])
        found = statistics[tensor] = streaming.snapshot()
        flat = value.reshape(-1, value.shape[-1]).astype(np.float64)
        np.testing.assert_allclose(found.mean, flat.mean(axis=0), atol=1e-5)
        np.testing.assert_array_equal(found.low, flat.min(axis=0))
    result, done = equalized_from_fp32(model, statistics, quantized)
    assert len(done) == len(quantized)
    assert all(entry.shifted for entry in done)
    return result


def test_equalization_keeps_the_function(model: onnx.ModelProto, equalized: onnx.ModelProto) -> None:
    images = images_for_tests(4, SIZE, seed=2)
    np.testing.assert_allclose(logits_of(equalized, images), logits_of(model, images), atol=1e-4)


def test_correction_moves_the_mean_output_back(equalized: onnx.ModelProto) -> None:
    """As the graph with corrected biases gives it; means are taken over images and tokens."""
    graph, layers = TorchGraph(equalized), layers_from_graph(equalized.graph)
    biases, images = biases_from_graph(equalized.graph), torch.from_numpy(images_for_tests(4, SIZE, seed=3))
    chosen = [layer for layer in layers if layer.role is Role.CONVOLUTION][:4]
    amax = {layer.activation: 0.5 for layer in chosen}  # so narrow that much is clipped
    quantizer = FakeQuantizer(graph)
    rounding = {layer.name: quantizer.layer_overrides(layer, Arithmetic.INT8, amax) for layer in chosen}
    corrections = local_corrections(graph, rounding, chosen, [images])
    for layer in chosen:
        added = graph.readers[biases[layer.name]][0]
        output = next(node.output[0] for node in equalized.graph.node if node.name == added)
        overrides = {**rounding[layer.name], **with_added_biases(graph, {layer.name: corrections[layer.name]}, biases)}
        wanted = graph.run({INPUT_NAME: images}, keep=[output])[output].mean(dim=(0, 1))
        uncorrected = graph.run({INPUT_NAME: images}, rounding[layer.name], keep=[output])[output].mean(dim=(0, 1))
        got = graph.run({INPUT_NAME: images}, overrides, keep=[output])[output].mean(dim=(0, 1))
        assert float((uncorrected - wanted).abs().max()) > 1e-3
        torch.testing.assert_close(got, wanted, atol=2e-5, rtol=0)


def test_weights_alone_can_be_int8(model: onnx.ModelProto) -> None:
    made = make_weight_only(model, "", ())
    require_valid_qdq(made.model)
    stored = {layer.name for layer in made.placement.weight_only}
    assert stored == {layer.name for layer in layers_from_graph(model.graph)} - {"head"}
    images = images_for_tests(4, SIZE, seed=4)
    expected = logits_of(model, images)
    assert np.abs(logits_of(made.model, images) - expected).max() < 0.05 * max(1.0, np.abs(expected).max())
    assert made.model.ByteSize() < 0.45 * model.ByteSize()
