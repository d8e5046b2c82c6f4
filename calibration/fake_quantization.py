"""Quantization as the search computes it: rounded values in float32, with the scales and weights of the graph to be."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import torch

from calibration.int8_from_table import quantized_weight, scale_from_amax
from calibration.placement import Arithmetic

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from calibration.int8_from_table import Int8Weight
    from calibration.layers import Layer
    from calibration.placement import Placement, QuantizedLayer
    from calibration.torch_graph import Overrides, TorchGraph, Transform


class FakeQuantizer:
    """Replaces what nodes of a graph read by what they would read in INT8; rounded weights are kept for reuse."""

    def __init__(self, graph: TorchGraph) -> None:
        self._graph = graph
        self._rounded: dict[str, torch.Tensor] = {}

    def overrides(
        self, placement: Placement, amax: Mapping[str, float], weights: Mapping[str, Int8Weight] | None = None
    ) -> dict[tuple[str, int], Transform]:
        """Returns the replacements of a placement.

        Args:
            placement: Which activations and weights are rounded.
            amax: Tensor -> magnitude that 127 stands for.
            weights: Layer -> its weight, already rounded; others are rounded to the nearest.
        """
        known = weights or {}
        replaced: dict[tuple[str, int], Transform] = {}
        for activation in placement.activations:
            transform = rounded_activation(amax[activation.tensor])
            replaced.update({(consumer.node, consumer.index): transform for consumer in activation.consumers})
        for layer in (*placement.layers, *placement.weight_only):
            if layer.name not in known:
                replaced[layer.name, 1] = self._weight(layer)
        return {**replaced, **with_weights(self._graph, known)}

    def layer_overrides(self, layer: Layer, arithmetic: Arithmetic, amax: Mapping[str, float]) -> Overrides:
        """Returns the replacements of one layer by itself."""
        replaced = {} if arithmetic is Arithmetic.FLOAT else {(layer.name, 1): self._weight(layer)}
        if arithmetic is Arithmetic.INT8:
            replaced[layer.name, 0] = rounded_activation(amax[layer.activation])
        return replaced

    def _weight(self, layer: Layer | QuantizedLayer) -> Transform:
        if layer.name not in self._rounded:
            weight = self._graph.constants[layer.weight].cpu().numpy()
            self._rounded[layer.name] = torch.from_numpy(rounded_weight(weight, layer.channel_axis)).to(
                self._graph.device
            )
        rounded = self._rounded[layer.name]
        return partial(instead, rounded)


def rounded_activation(amax: float) -> Transform:
    """Returns what rounds a tensor to the 256 values of symmetric INT8 whose 127 stands for `amax`."""
    scale = float(scale_from_amax(amax))
    return lambda values: torch.fake_quantize_per_tensor_affine(values, scale, 0, -128, 127)


def rounded_weight(weight: NDArray[np.float32], channel_axis: int) -> NDArray[np.float32]:
    """Returns a weight as INT8 with one scale per output channel restores it."""
    return quantized_weight(weight, channel_axis).restored


def with_added_biases(
    graph: TorchGraph, corrections: Mapping[str, torch.Tensor], biases: Mapping[str, str]
) -> Overrides:
    """Returns replacements that add a correction to the bias of layers.

    Args:
        graph: The graph.
        corrections: Layer -> what is added to its bias, of shape (outputs,).
        biases: Layer -> its bias initializer.
    """
    corrected = {biases[name]: graph.constants[biases[name]] + added for name, added in corrections.items()}
    return {graph.readers[bias]: partial(instead, value) for bias, value in corrected.items()}


def with_weights(graph: TorchGraph, weights: Mapping[str, Int8Weight]) -> Overrides:
    """Returns replacements that make layers multiply with weights as they are stored."""
    restored = {name: torch.from_numpy(weight.restored).to(graph.device) for name, weight in weights.items()}
    return {(name, 1): partial(instead, value) for name, value in restored.items()}


def instead(value: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
    """Returns the value in the place of whatever a node would have read."""
    return value
