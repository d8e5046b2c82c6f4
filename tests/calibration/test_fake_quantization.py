from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from calibration.fake_quantization import FakeQuantizer, rounded_activation, rounded_weight, with_added_biases
from calibration.int8_from_table import int8_from_fp32
from calibration.layers import layers_from_graph
from calibration.placement import (
    Arithmetic,
    Choice,
    Placement,
    PlacementPolicy,
    placement_from_choices,
    placement_from_graph,
)
from calibration.torch_graph import TorchGraph
from tests.calibration.planted import DIGEST, EVERYTHING, planted_table
from tests.calibration.small_networks import constant_of, images_for_tests, logits_of, replace_constants, small_network
from tests.calibration.torch_graph import fake_quantized_weight, run_in_torch

if TYPE_CHECKING:
    import onnx

POLICIES = [PlacementPolicy(), EVERYTHING, PlacementPolicy(store_int8=True, residual=False)]


def mixed_placement(model: onnx.ModelProto, seed: int) -> Placement:
    """Gives every layer one of the three arithmetics at random."""
    kinds = np.random.default_rng(seed).choice(np.array(Arithmetic), len(layers_from_graph(model.graph)))
    choices = {layer.name: Choice(kind) for layer, kind in zip(layers_from_graph(model.graph), kinds, strict=True)}
    return placement_from_choices(model.graph, choices, residual=bool(seed % 2))


def faked_logits(
    model: onnx.ModelProto, placement: Placement, amax: dict[str, float], images: np.ndarray
) -> np.ndarray:
    graph = TorchGraph(model)
    overrides = FakeQuantizer(graph).overrides(placement, amax)
    return graph.logits(torch.from_numpy(images), overrides).numpy()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("policy", [*POLICIES, None], ids=["default", "everything", "weight-only rest", "mixed"])
def test_logits_are_those_of_the_written_graph(policy: PlacementPolicy | None, seed: int) -> None:
    model, images = small_network(seed), images_for_tests(9, seed=seed)
    placement = placement_from_graph(model.graph, policy) if policy else mixed_placement(model, seed)
    table = planted_table(placement, np.random.default_rng(seed))
    expected = logits_of(int8_from_fp32(model, table, placement, DIGEST), images)
    got = faked_logits(model, placement, {t: r.amax for t, r in table.ranges.items()}, images)
    effect = np.abs(expected - logits_of(model, images)).max()
    assert effect > 1e-3
    # Sums in another order may move a value across a rounding boundary, which shows in the logit of that image only.
    assert np.median(np.abs(got - expected)) < 2e-3 * effect


@pytest.mark.parametrize("policy", POLICIES[:2], ids=["default", "everything"])
def test_logits_of_a_real_network_are_those_of_the_other_implementation(
    fp32_model: onnx.ModelProto, policy: PlacementPolicy
) -> None:
    images = images_for_tests(5, 64)
    placement = placement_from_graph(fp32_model.graph, policy)
    amax = {t: r.amax for t, r in planted_table(placement, np.random.default_rng(0)).ranges.items()}
    expected = run_in_torch(fp32_model, images, placement, amax)
    got = faked_logits(fp32_model, placement, amax, images)
    effect = np.abs(expected - logits_of(fp32_model, images)).max()
    assert np.median(np.abs(got - expected)) < 2e-3 * effect


@given(st.floats(1e-2, 1e4), st.integers(0, 1000))
def test_error_inside_the_range_is_at_most_half_a_step(amax: float, seed: int) -> None:
    scale = float(np.float16(amax / 127))
    values = np.random.default_rng(seed).uniform(-127 * scale, 127 * scale, 200).astype(np.float32)
    got = rounded_activation(amax)(torch.from_numpy(values)).numpy()
    assert np.abs(got - values).max() <= scale / 2 * (1 + 1e-4)
    steps = got / scale
    np.testing.assert_allclose(steps, np.rint(steps), atol=1e-3)


def test_values_outside_the_range_are_clipped_to_256_levels() -> None:
    transform = rounded_activation(127.0)
    assert transform(torch.tensor([-1e4, -128.4, -127.6, 127.4, 1e4])).tolist() == [-128, -128, -128, 127, 127]
    # Half goes to even, as QuantizeLinear has it.
    assert transform(torch.tensor([0.5, 1.5, 2.5, -0.5])).tolist() == [0, 2, 2, 0]


@pytest.mark.parametrize(("shape", "axis"), [((6, 3, 3, 3), 0), ((6, 1, 3, 3), 0), ((1, 16), 0), ((5, 4), 1)])
def test_rounded_weight_is_that_of_torch(shape: tuple[int, ...], axis: int) -> None:
    weight = np.random.default_rng(1).standard_t(3, shape).astype(np.float32)
    expected = fake_quantized_weight(torch.from_numpy(weight), axis).numpy()
    got = rounded_weight(weight, axis)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, expected, atol=1e-6)
    assert np.abs(got - weight).max() > 0


def test_one_layer_alone_is_the_placement_of_that_layer_alone() -> None:
    model, images = small_network(5), images_for_tests(9, seed=5)
    graph = TorchGraph(model)
    quantizer = FakeQuantizer(graph)
    for layer in layers_from_graph(model.graph):
        for kind in Arithmetic:
            choices = {other.name: Choice(Arithmetic.FLOAT) for other in layers_from_graph(model.graph)}
            placement = placement_from_choices(model.graph, choices | {layer.name: Choice(kind)}, residual=False)
            table = planted_table(placement, np.random.default_rng(0))
            overrides = quantizer.layer_overrides(
                layer, kind, {layer.activation: table.amax(layer.activation)} if kind is Arithmetic.INT8 else {}
            )
            got = graph.logits(torch.from_numpy(images), overrides).numpy()
            expected = logits_of(int8_from_fp32(model, table, placement, DIGEST), images)
            assert np.median(np.abs(got - expected)) < 1e-5 * max(1, np.abs(expected).max()), (layer.name, kind)


def test_added_biases_are_those_of_a_graph_with_other_biases() -> None:
    model, images = small_network(6), images_for_tests(4, seed=6)
    added = {"stem": torch.linspace(-1, 1, 8), "fc": torch.tensor([0.5])}
    graph = TorchGraph(model)
    overrides = with_added_biases(graph, added, {"stem": "stem.bias", "fc": "fc.bias"})
    got = graph.logits(torch.from_numpy(images), overrides).numpy()
    replace_constants(
        model, {f"{name}.bias": constant_of(model, f"{name}.bias") + value.numpy() for name, value in added.items()}
    )
    np.testing.assert_allclose(got, logits_of(model, images), atol=2e-5)
