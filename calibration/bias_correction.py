"""Bias correction: what rounding adds to a layer's output on average is taken from its bias.

Rounding errors do not average to zero where values are many and small, and the mean error of a channel moves every
score the same way (Nagel et al., arXiv 1906.04721; Finkelstein et al., arXiv 1906.03193). Measured on images, layer
after layer in graph order, each with the corrections before it in force, so that what one layer leaves over the next
takes up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from calibration.fake_quantization import with_added_biases
from calibration.segments import swept_segments

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from calibration.layers import Layer
    from calibration.segments import Segment
    from calibration.torch_graph import Overrides, State, TorchGraph

    Corrections = dict[str, torch.Tensor]


def sequential_corrections(
    graph: TorchGraph,
    overrides: Overrides,
    layers: Sequence[Layer],
    biases: Mapping[str, str],
    batches: Sequence[torch.Tensor],
) -> Corrections:
    """Measures the corrections of a whole variant.

    Args:
        graph: The FP32 graph.
        overrides: What the variant rounds.
        layers: Layers to correct, in graph order.
        biases: Layer -> its bias initializer.
        batches: Normalized calibration images (N, 3, size, size) each.

    Returns:
        Layer -> what is to be added to its bias, of shape (outputs,).
    """
    corrections: Corrections = {}
    rounded: list[State] | None = None
    for segment, states in swept_segments(graph, batches, "correcting biases"):
        rounded = list(states) if rounded is None else rounded
        own = [layer for layer in layers if segment.holds(graph.position(layer.name))]
        with torch.inference_mode():
            expected = _mean_outputs(graph, segment, states, None, own)
            for layer in own:
                so_far = {**overrides, **with_added_biases(graph, corrections, biases)}
                got = _mean_outputs(graph, segment, rounded, so_far, [layer])
                corrections[layer.name] = expected[layer.name] - got[layer.name]
            so_far = {**overrides, **with_added_biases(graph, corrections, biases)}
            for number, state in enumerate(rounded):
                rounded[number] = graph.run(state, so_far, segment.begin, segment.end)
    return corrections


def local_corrections(
    graph: TorchGraph,
    overrides: Mapping[str, Overrides],
    layers: Sequence[Layer],
    batches: Sequence[torch.Tensor],
) -> Corrections:
    """Measures the correction that each layer needs if it alone is rounded.

    Args:
        graph: The FP32 graph.
        overrides: Layer -> what rounding it replaces.
        layers: Layers to correct, in graph order.
        batches: Normalized calibration images (N, 3, size, size) each.

    Returns:
        Layer -> what is to be added to its bias, of shape (outputs,).
    """
    corrections: Corrections = {}
    for segment, states in swept_segments(graph, batches, "measuring biases"):
        own = [layer for layer in layers if segment.holds(graph.position(layer.name))]
        if not own:
            continue
        kept = {name for layer in own for name in (layer.activation, layer.output)}
        means = _Means(graph.channel_axes)
        with torch.inference_mode():
            for state in states:
                values = {**state, **graph.run(state, None, segment.begin, segment.end, kept)}
                for layer in own:
                    position = graph.position(layer.name)
                    inputs = {layer.activation: values[layer.activation]}
                    got = graph.run(inputs, overrides[layer.name], position, position + 1)[layer.output]
                    means.add(layer.name, layer.output, values[layer.output] - got)
        corrections.update(means.result())
    return corrections


def _mean_outputs(
    graph: TorchGraph,
    segment: Segment,
    states: Sequence[State],
    overrides: Overrides | None,
    layers: Sequence[Layer],
) -> Corrections:
    """Returns the mean output of each channel of some layers of a segment."""
    if not layers:
        return {}
    outputs = {layer.name: layer.output for layer in layers}
    end = max(graph.position(layer.name) for layer in layers) + 1
    means = _Means(graph.channel_axes)
    for state in states:
        values = graph.run(state, overrides, segment.begin, end, set(outputs.values()))
        for name, output in outputs.items():
            means.add(name, output, values[output])
    return means.result()


class _Means:
    """Running means per channel, summed in float64."""

    def __init__(self, channel_axes: Mapping[str, int]) -> None:
        self._axes = channel_axes
        self._sums: Corrections = {}
        self._counts: dict[str, int] = {}

    def add(self, name: str, tensor: str, values: torch.Tensor) -> None:
        """Takes in values of a tensor of shape (N, C), (N, C, H, W) or (N, ..., C)."""
        moved = values.movedim(self._axes.get(tensor, 1), 1)
        flat = moved.reshape(*moved.shape[:2], -1)
        added = flat.sum(dim=2).double().sum(dim=0)
        self._sums[name] = self._sums[name] + added if name in self._sums else added
        self._counts[name] = self._counts.get(name, 0) + flat.shape[0] * flat.shape[2]

    def result(self) -> Corrections:
        """Returns the means as float32 (C,)."""
        return {name: (total / self._counts[name]).float() for name, total in self._sums.items()}
