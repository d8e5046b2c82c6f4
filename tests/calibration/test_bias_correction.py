from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from calibration.bias_correction import local_corrections, sequential_corrections
from calibration.fake_quantization import FakeQuantizer, with_added_biases
from calibration.int8_from_table import int8_from_fp32
from calibration.layers import layers_from_graph
from calibration.placement import placement_from_graph
from calibration.torch_graph import TorchGraph
from export.contract import INPUT_NAME
from export.runners import session_from_model
from tests.calibration.planted import DIGEST, EVERYTHING, planted_table, with_outputs
from tests.calibration.small_networks import constant_of, copied, images_for_tests, replace_constants, small_network

if TYPE_CHECKING:
    import onnx

    from calibration.torch_graph import Overrides

LAYERS = ("stem", "first.depthwise", "first.project", "second.pointwise", "second.project", "head", "fc")


def batches_for_tests(seed: int = 0) -> tuple[torch.Tensor, ...]:
    """Two batches of unequal size, so that a mean of means would show."""
    images = torch.from_numpy(images_for_tests(7, seed=seed))
    return images[:5], images[5:]


def biases_of(model: onnx.ModelProto) -> dict[str, str]:
    return {layer.name: f"{layer.name}.bias" for layer in layers_from_graph(model.graph)}


def mean_outputs(model: onnx.ModelProto, tensors: list[str], images: np.ndarray) -> dict[str, np.ndarray]:
    """Means per channel by ONNX Runtime and NumPy."""
    added = [name for name in tensors if name != "logit"]
    values = session_from_model(with_outputs(model, added)).run(tensors, {INPUT_NAME: images})
    return {n: v.mean(axis=(0, *range(2, v.ndim)), dtype=np.float64) for n, v in zip(tensors, values, strict=True)}


def rounding_of(model: onnx.ModelProto, graph: TorchGraph, seed: int = 0) -> Overrides:
    placement = placement_from_graph(model.graph, EVERYTHING)
    table = planted_table(placement, np.random.default_rng(seed), 2.0, 3.0)
    return FakeQuantizer(graph).overrides(placement, {t: r.amax for t, r in table.ranges.items()})


def test_planted_offset_is_found_and_taken_away() -> None:
    """One layer reads its input 0.3 too high: what is added to its bias is minus its weights' sums times that."""
    model = small_network(0)
    graph, batches = TorchGraph(model), batches_for_tests()
    overrides = {("first.project", 0): lambda values: values + 0.3}
    layers = [layer for layer in layers_from_graph(model.graph) if layer.name in LAYERS]
    found = sequential_corrections(graph, overrides, layers, biases_of(model), batches)
    expected = -0.3 * constant_of(model, "first.project.weight").sum(axis=(1, 2, 3))
    np.testing.assert_allclose(found["first.project"].numpy(), expected, atol=1e-4)
    for name in set(LAYERS) - {"first.project"}:
        np.testing.assert_allclose(found[name].numpy(), 0, atol=1e-4, err_msg=name)
    corrected = {**overrides, **with_added_biases(graph, found, biases_of(model))}
    images = torch.from_numpy(images_for_tests(5, seed=9))
    plain = graph.logits(images)
    assert (graph.logits(images, overrides) - plain).abs().min() > 1e-2
    np.testing.assert_allclose(graph.logits(images, corrected).numpy(), plain.numpy(), atol=1e-3)


def test_local_corrections_are_the_mean_error_of_each_layer_by_itself() -> None:
    """Directly: the float input of the layer comes from ONNX Runtime, its product from PyTorch."""
    model = small_network(1)
    graph, batches = TorchGraph(model), batches_for_tests(1)
    layers = {layer.name: layer for layer in layers_from_graph(model.graph)}
    chosen = [layers["second.pointwise"], layers["first.gate.reduce"], layers["head"]]
    overrides: dict[str, Overrides] = {
        "second.pointwise": {("second.pointwise", 0): lambda values: values.clamp(-0.5, 0.5)},
        "first.gate.reduce": {("first.gate.reduce", 1): lambda weight: 1.5 * weight},
        "head": {("head", 0): torch.round, ("head", 1): lambda weight: weight + 0.1},
    }
    found = local_corrections(graph, overrides, chosen, batches)
    tensors = [layer.activation for layer in chosen]
    values = session_from_model(with_outputs(model, tensors)).run(tensors, {INPUT_NAME: torch.cat(batches).numpy()})
    for layer, value in zip(chosen, values, strict=True):
        activation, weight = torch.from_numpy(value), torch.from_numpy(constant_of(model, layer.weight).copy())
        changed = overrides[layer.name]
        read = changed.get((layer.name, 0), torch.clone)(activation)
        multiplied = changed.get((layer.name, 1), torch.clone)(weight)
        error = torch.einsum("nihw,oi->nohw", read, multiplied[:, :, 0, 0])
        error -= torch.einsum("nihw,oi->nohw", activation, weight[:, :, 0, 0])
        np.testing.assert_allclose(found[layer.name].numpy(), -error.mean(dim=(0, 2, 3)).numpy(), atol=2e-5)


@pytest.mark.parametrize("seed", range(3))
def test_corrected_variant_has_the_mean_outputs_of_the_float_network(seed: int) -> None:
    """The very property that is asked for, layer by layer, with biases written into a graph that rounds."""
    model = small_network(seed)
    graph, batches = TorchGraph(model), batches_for_tests(seed)
    placement = placement_from_graph(model.graph, EVERYTHING)
    table = planted_table(placement, np.random.default_rng(seed), 2.0, 3.0)
    layers = layers_from_graph(model.graph)
    found = sequential_corrections(graph, rounding_of(model, graph, seed), layers, biases_of(model), batches)
    corrected = copied(model)
    replace_constants(corrected, {f"{n}.bias": constant_of(model, f"{n}.bias") + v.numpy() for n, v in found.items()})
    outputs = [layer.output for layer in layers]
    images = torch.cat(batches).numpy()
    expected = mean_outputs(model, outputs, images)
    got, without = (
        mean_outputs(int8_from_fp32(variant, table, placement, DIGEST), outputs, images)
        for variant in (corrected, model)
    )
    for name in outputs:
        before, after = (np.abs(means[name] - expected[name]).max() for means in (without, got))
        # Sums in another order may move a value across a rounding boundary.
        assert after < 0.05 * before + 2e-3, name


@pytest.mark.parametrize("seed", range(4))
def test_corrected_scores_of_other_images_are_closer(seed: int) -> None:
    model = small_network(seed)
    graph = TorchGraph(model)
    rounding = rounding_of(model, graph, seed)
    batches = tuple(torch.from_numpy(images_for_tests(16, seed=100 + 2 * seed + i)) for i in range(2))
    found = sequential_corrections(graph, rounding, layers_from_graph(model.graph), biases_of(model), batches)
    images = torch.from_numpy(images_for_tests(16, seed=50 + seed))
    expected = graph.logits(images)
    before = (graph.logits(images, rounding) - expected).square().mean()
    corrected = {**rounding, **with_added_biases(graph, found, biases_of(model))}
    assert (graph.logits(images, corrected) - expected).square().mean() < before


def test_nothing_rounded_corrects_nothing() -> None:
    model = small_network(2)
    layers = layers_from_graph(model.graph)
    found = sequential_corrections(TorchGraph(model), {}, layers, biases_of(model), batches_for_tests())
    assert found.keys() == biases_of(model).keys()
    assert all(not value.any() for value in found.values())
    assert {name: tuple(value.shape) for name, value in found.items()} == {
        name: constant_of(model, bias).shape for name, bias in biases_of(model).items()
    }
