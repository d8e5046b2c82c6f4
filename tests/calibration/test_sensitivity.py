from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from calibration.fake_quantization import FakeQuantizer
from calibration.int8_from_table import int8_from_fp32
from calibration.layers import layers_from_graph
from calibration.placement import Arithmetic, Choice, placement_from_choices
from calibration.sensitivity import Candidate, Measurement, measured_sensitivity
from calibration.table import CalibrationTable, TensorRange
from calibration.torch_graph import TorchGraph
from export.contract import INPUT_NAME
from export.runners import session_from_model
from tests.calibration.planted import DIGEST, with_outputs
from tests.calibration.small_networks import images_for_tests, logits_of, small_network

if TYPE_CHECKING:
    import onnx

BATCHES = tuple(torch.from_numpy(images_for_tests(4, seed=seed)) for seed in range(4))
IMAGES = torch.cat(BATCHES).numpy()


def largest_magnitudes(model: onnx.ModelProto) -> dict[str, float]:
    tensors = sorted({layer.activation for layer in layers_from_graph(model.graph)} - {INPUT_NAME})
    values = session_from_model(with_outputs(model, tensors)).run(tensors, {INPUT_NAME: IMAGES})
    return {INPUT_NAME: float(np.abs(IMAGES).max())} | {
        name: float(np.abs(value).max()) for name, value in zip(tensors, values, strict=True)
    }


def candidates_of(model: onnx.ModelProto, graph: TorchGraph, amax: dict[str, float]) -> list[Candidate]:
    quantizer = FakeQuantizer(graph)
    return [
        Candidate(layer.name, kind, quantizer.layer_overrides(layer, kind, amax), layer.name)
        for kind in (Arithmetic.INT8, Arithmetic.INT8_WEIGHTS)
        for layer in layers_from_graph(model.graph)
    ]


def measured(model: onnx.ModelProto, names: tuple[str, ...] = ()) -> Measurement:
    graph = TorchGraph(model)
    candidates = candidates_of(model, graph, largest_magnitudes(model))
    chosen = [c for c in candidates if not names or c.group in names]
    return measured_sensitivity(graph, chosen, BATCHES, Measurement(), lambda _: None)


def test_errors_are_those_of_graphs_written_with_one_quantized_layer() -> None:
    """Each layer in a graph of its own, run by ONNX Runtime from end to end."""
    model = small_network(0)
    amax = largest_magnitudes(model)
    found = measured(model)
    ranges = {name: TensorRange(value, "minmax", -value, value) for name, value in amax.items()}
    plain = logits_of(model, IMAGES)
    np.testing.assert_allclose(found.logits, plain, atol=3e-5)
    layers = layers_from_graph(model.graph)
    assert len(found.errors) == 2 * len(layers)
    for layer in layers:
        for kind in (Arithmetic.INT8, Arithmetic.INT8_WEIGHTS):
            choices = {other.name: Choice(Arithmetic.FLOAT) for other in layers} | {layer.name: Choice(kind)}
            placement = placement_from_choices(model.graph, choices, residual=False)
            written = int8_from_fp32(model, CalibrationTable(ranges, DIGEST, "", 1), placement, DIGEST)
            expected = logits_of(written, IMAGES) - plain
            got = found.errors[f"{layer.name}|{kind.value}"]
            assert np.median(np.abs(got - expected)) < 0.02 * np.abs(expected).max() + 2e-5, (layer.name, kind)
            noise = found.noise(layer.name, kind)
            assert noise == pytest.approx(np.var(expected), rel=0.2, abs=1e-9), (layer.name, kind)


@pytest.mark.parametrize("reader", ["first.depthwise", "head"])
def test_layer_with_a_planted_wide_input_channel_is_the_worst(reader: str) -> None:
    """One channel a thousand times wider makes the range a thousand times too coarse for all the others."""
    model = small_network(1)
    layer = next(layer for layer in layers_from_graph(model.graph) if layer.name == reader)
    amax = largest_magnitudes(model)
    amax[layer.activation] *= 1000
    graph = TorchGraph(model)
    found = measured_sensitivity(graph, candidates_of(model, graph, amax), BATCHES, Measurement(), lambda _: None)
    noises = {
        name: found.noise(name, Arithmetic.INT8) or 0.0 for name in (x.name for x in layers_from_graph(model.graph))
    }
    worst = max(noises, key=noises.__getitem__)
    assert worst == reader
    assert noises[worst] > 5 * sorted(noises.values())[-2]


class Interrupted(Exception):  # noqa: N818
    """Stands for a killed command."""


@pytest.mark.parametrize("stop", range(1, 5))
def test_interrupted_after_any_batch_and_resumed_equals_the_uninterrupted(stop: int) -> None:
    model = small_network(2)
    graph = TorchGraph(model)
    candidates = candidates_of(model, graph, largest_magnitudes(model))[:5]
    whole = measured_sensitivity(graph, candidates, BATCHES, Measurement(), lambda _: None)
    saved: list[str] = []

    def save(state: Measurement) -> None:
        saved.append(json.dumps(vars(state)))
        if len(saved) == stop:
            raise Interrupted

    with pytest.raises(Interrupted):
        measured_sensitivity(graph, candidates, BATCHES, Measurement(), save)
    assert len(saved) == stop
    again = measured_sensitivity(
        graph, candidates, BATCHES, Measurement(**json.loads(saved[-1])), lambda _: saved.append("")
    )
    assert len(saved) == len(BATCHES)
    assert vars(again) == vars(whole)


@pytest.mark.parametrize("seed", range(3))
def test_noises_of_two_layers_add_up(seed: int) -> None:
    """Independent roundings: the power of both together is near the sum, which the search relies on."""
    model = small_network(seed)
    graph = TorchGraph(model)
    batches = tuple(torch.from_numpy(images_for_tests(24, seed=10 * seed + i)) for i in range(5))
    amax = largest_magnitudes(model)
    first, second = (
        next(c for c in candidates_of(model, graph, amax) if c.group == name and c.arithmetic is Arithmetic.INT8)
        for name in ("second.pointwise", "head")
    )
    both = Candidate("both", Arithmetic.INT8, {**first.overrides, **second.overrides}, first.group)
    found = measured_sensitivity(graph, [first, second, both], batches, Measurement(), lambda _: None)
    one, two, together = (found.noise(name, Arithmetic.INT8) or 0.0 for name in (first.group, second.group, "both"))
    assert together == pytest.approx(one + two, rel=0.35)


def test_noise_leaves_out_the_mean_and_knows_what_was_not_measured() -> None:
    measurement = Measurement([0.0] * 4, {"a|int8": [1.0, 3.0, 1.0, 3.0]})
    assert measurement.noise("a", Arithmetic.INT8) == pytest.approx(1.0)
    assert measurement.noise("a", Arithmetic.INT8_WEIGHTS) is None
    assert measurement.noise("b", Arithmetic.INT8) is None
