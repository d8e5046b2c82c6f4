from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from calibration.fake_quantization import FakeQuantizer, with_added_biases
from calibration.int8_from_table import int8_from_fp32
from calibration.layer_inputs import geometry_from_node
from calibration.layers import layers_from_graph
from calibration.placement import placement_from_graph
from calibration.reconstruction import Reconstruction, reconstructed
from calibration.torch_graph import TorchGraph
from export.contract import INPUT_NAME
from export.runners import session_from_model
from tests.calibration.planted import DIGEST, EVERYTHING, planted_table, with_outputs
from tests.calibration.small_networks import constant_of, copied, images_for_tests, replace_constants, small_network

if TYPE_CHECKING:
    import onnx

    from calibration.placement import Placement
    from calibration.table import CalibrationTable
    from calibration.torch_graph import Overrides


def biases_of(model: onnx.ModelProto) -> dict[str, str]:
    return {layer.name: f"{layer.name}.bias" for layer in layers_from_graph(model.graph)}


def prepared(seed: int) -> tuple[onnx.ModelProto, TorchGraph, Placement, CalibrationTable, dict[str, float]]:
    model = small_network(seed)
    placement = placement_from_graph(model.graph, EVERYTHING)
    table = planted_table(placement, np.random.default_rng(seed), 2.0, 3.0)
    return model, TorchGraph(model), placement, table, {t: r.amax for t, r in table.ranges.items()}


def reconstruction_of(
    model: onnx.ModelProto, graph: TorchGraph, overrides: Overrides, batches: tuple[torch.Tensor, ...]
) -> Reconstruction:
    layers = layers_from_graph(model.graph)
    nodes = {node.name: node for node in model.graph.node}
    geometries = {layer.name: geometry_from_node(nodes[layer.name], layer) for layer in layers}
    return reconstructed(graph, overrides, layers, geometries, biases_of(model), batches)


def test_reconstructed_scores_of_other_images_are_closer() -> None:
    """Most networks gain much, and none loses: one whose rounding is harmless has nothing to gain."""
    left = []
    for seed in range(7):
        model, graph, placement, _, amax = prepared(seed)
        quantizer = FakeQuantizer(graph)
        rounding = quantizer.overrides(placement, amax)
        batches = tuple(torch.from_numpy(images_for_tests(16, seed=100 + 4 * seed + i)) for i in range(4))
        found = reconstruction_of(model, graph, rounding, batches)
        images = torch.from_numpy(images_for_tests(32, seed=50 + seed))
        expected = graph.logits(images)
        overrides = {
            **quantizer.overrides(placement, amax, found.weights),
            **with_added_biases(graph, found.corrections, biases_of(model)),
        }
        before, after = (graph.logits(images, replaced) - expected for replaced in (rounding, overrides))
        left.append(float(after.square().mean() / before.square().mean()))
    assert np.median(left) < 0.5
    assert max(left) < 1.25


@pytest.mark.parametrize("seed", range(3))
def test_written_graph_has_the_mean_outputs_of_the_float_network(seed: int) -> None:
    """By ONNX Runtime, on the images it was fitted to: whatever the weights became, the means are right."""
    model, graph, placement, table, amax = prepared(seed)
    batches = tuple(torch.from_numpy(images_for_tests(4, seed=seed)).split([3, 1]))
    found = reconstruction_of(model, graph, FakeQuantizer(graph).overrides(placement, amax), batches)
    corrected = copied(model)
    added = {f"{name}.bias": value.numpy() for name, value in found.corrections.items()}
    replace_constants(corrected, {name: constant_of(model, name) + value for name, value in added.items()})
    written = int8_from_fp32(corrected, table, placement, DIGEST, found.weights)
    outputs = [layer.output for layer in layers_from_graph(model.graph)]
    images = torch.cat(batches).numpy()
    tensors = [name for name in outputs if name != "logit"]
    expected, got, without = (
        session_from_model(with_outputs(variant, tensors)).run(tensors, {INPUT_NAME: images})
        for variant in (model, written, int8_from_fp32(model, table, placement, DIGEST))
    )
    for name, exact, repaired, plain in zip(tensors, expected, got, without, strict=True):
        axes = (0, *range(2, exact.ndim))
        before = np.abs(plain.mean(axis=axes, dtype=np.float64) - exact.mean(axis=axes, dtype=np.float64)).max()
        after = np.abs(repaired.mean(axis=axes, dtype=np.float64) - exact.mean(axis=axes, dtype=np.float64)).max()
        # Sums in another order may move a value across a rounding boundary.
        assert after < 0.05 * before + 5e-3, name


def test_scores_in_the_search_are_those_of_the_written_graph() -> None:
    model, graph, placement, table, amax = prepared(1)
    quantizer = FakeQuantizer(graph)
    batches = (torch.from_numpy(images_for_tests(16, seed=3)),)
    found = reconstruction_of(model, graph, quantizer.overrides(placement, amax), batches)
    corrected = copied(model)
    replace_constants(
        corrected, {f"{n}.bias": constant_of(model, f"{n}.bias") + v.numpy() for n, v in found.corrections.items()}
    )
    images = images_for_tests(8, seed=9)
    written = int8_from_fp32(corrected, table, placement, DIGEST, found.weights)
    (got,) = session_from_model(written).run(None, {INPUT_NAME: images})
    overrides = {
        **quantizer.overrides(placement, amax, found.weights),
        **with_added_biases(graph, found.corrections, biases_of(model)),
    }
    expected = graph.logits(torch.from_numpy(images), overrides)
    np.testing.assert_allclose(np.asarray(got).reshape(-1), expected.numpy(), atol=2e-2)


def test_the_same_images_give_the_same_weights() -> None:
    model, graph, placement, _, amax = prepared(2)
    overrides = FakeQuantizer(graph).overrides(placement, amax)
    batches = (torch.from_numpy(images_for_tests(8, seed=3)),)
    first, second = (reconstruction_of(model, graph, overrides, batches) for _ in range(2))
    for name, weight in first.weights.items():
        np.testing.assert_array_equal(weight.values, second.weights[name].values)
        np.testing.assert_array_equal(weight.scale, second.weights[name].scale)


def test_weights_are_of_the_layers_shape_and_scales_are_fp16_numbers() -> None:
    model, graph, placement, _, amax = prepared(0)
    batches = (torch.from_numpy(images_for_tests(8, seed=3)),)
    found = reconstruction_of(model, graph, FakeQuantizer(graph).overrides(placement, amax), batches)
    for layer in layers_from_graph(model.graph):
        weight = found.weights[layer.name]
        assert weight.values.shape == layer.weight_shape
        assert weight.values.dtype == np.int8
        assert weight.scale.shape == (layer.weight_shape[layer.channel_axis],)
        np.testing.assert_array_equal(weight.scale, weight.scale.astype(np.float16))
