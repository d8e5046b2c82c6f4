"""Reconstruction: the weights of a variant, layer after layer, fitted to what each layer reads in INT8.

Rounding disturbs the input of every later layer. Here each layer in graph order learns to give from its disturbed input
what it gave from the undisturbed one, with everything before it as it will be in the variant: its weights are refit and
rounded (see `calibration.weight_rounding`), and what is left of the mean error is taken from its bias.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from calibration.fake_quantization import with_added_biases, with_weights
from calibration.int8_from_table import Int8Weight
from calibration.layer_inputs import matrix_of_weight, mean_row, rows_of_windows, weight_of_matrix, windows
from calibration.segments import swept_segments
from calibration.weight_rounding import (
    RIDGE,
    MomentSums,
    damped,
    refitted,
    rounded_with_compensation,
    scales_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from calibration.layer_inputs import LayerGeometry
    from calibration.layers import Layer
    from calibration.segments import Segment
    from calibration.torch_graph import Overrides, State, TorchGraph

# Rows that a batch contributes to the moments of a layer; neighbouring positions say much the same.
_ROWS = 1024
# Between two layers of a segment no more than this is kept.
_KEPT_BYTES = 256 << 20
# Of large windows fewer, so that they take no more memory than this many numbers.
_NUMBERS = 1 << 24


@dataclass(frozen=True)
class Reconstruction:
    """What was fitted.

    Attributes:
        weights: Layer -> its weight.
        corrections: Layer -> what is added to its bias, of shape (outputs,).
    """

    weights: dict[str, Int8Weight]
    corrections: dict[str, torch.Tensor]


def reconstructed(
    graph: TorchGraph,
    overrides: Overrides,
    layers: Sequence[Layer],
    geometries: Mapping[str, LayerGeometry],
    biases: Mapping[str, str],
    batches: Sequence[torch.Tensor],
) -> Reconstruction:
    """Fits the weights of a whole variant.

    Args:
        graph: The FP32 graph.
        overrides: What the variant rounds.
        layers: Layers whose weights are stored as INT8 and that have a bias, in graph order.
        geometries: Layer -> how it reads its input.
        biases: Layer -> its bias initializer.
        batches: Normalized calibration images (N, 3, size, size) each.
    """
    found = Reconstruction({}, {})
    disturbed: list[State] | None = None
    for segment, states in swept_segments(graph, batches, "reconstructing"):
        disturbed = list(states) if disturbed is None else disturbed
        walk = _Walk(graph, segment, states, disturbed)
        with torch.inference_mode():
            for layer in layers:
                if segment.holds(graph.position(layer.name)):
                    inputs = walk.inputs(layer, _with(graph, overrides, found, biases))
                    weight, correction = _reconstructed_layer(graph, layer, geometries[layer.name], inputs)
                    found.weights[layer.name] = weight
                    found.corrections[layer.name] = correction
            disturbed = walk.finished(_with(graph, overrides, found, biases))
    return found


class _Walk:
    """Both ways through a segment, from layer to layer: without rounding, and as the variant computes.

    What was computed up to a layer is kept for the next one, unless that takes too much memory.
    """

    def __init__(self, graph: TorchGraph, segment: Segment, plain: Sequence[State], rough: Sequence[State]) -> None:
        self._graph, self._segment = graph, segment
        self._position = segment.begin
        self._plain, self._rough = list(plain), list(rough)

    def inputs(self, layer: Layer, overrides: Overrides) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yields what a layer reads, batch by batch: as it is, and as the variant has it."""
        begin, end = self._position, self._graph.position(layer.name)
        rounding = overrides.get((layer.name, 0))
        for number, (plain, rough) in enumerate(zip(self._plain, self._rough, strict=True)):
            plain_here = self._graph.run(plain, None, begin, end)
            rough_here = self._graph.run(rough, overrides, begin, end)
            if number == 0 and len(self._plain) * (_bytes(plain_here) + _bytes(rough_here)) <= _KEPT_BYTES:
                self._position = end
            if self._position == end:
                self._plain[number], self._rough[number] = plain_here, rough_here
            reads, will_read = plain_here[layer.activation], rough_here[layer.activation]
            yield reads, will_read if rounding is None else rounding(will_read)

    def finished(self, overrides: Overrides) -> list[State]:
        """Returns what the variant has at the end of the segment."""
        for number, state in enumerate(self._rough):
            self._rough[number] = self._graph.run(state, overrides, self._position, self._segment.end)
        return self._rough


def _bytes(state: State) -> int:
    return sum(value.nbytes for value in state.values())


def _with(graph: TorchGraph, overrides: Overrides, found: Reconstruction, biases: Mapping[str, str]) -> Overrides:
    return {
        **overrides,
        **with_weights(graph, found.weights),
        **with_added_biases(graph, found.corrections, biases),
    }


def _reconstructed_layer(
    graph: TorchGraph,
    layer: Layer,
    geometry: LayerGeometry,
    inputs: Iterator[tuple[torch.Tensor, torch.Tensor]],
) -> tuple[Int8Weight, torch.Tensor]:
    """Fits one layer; returns its weight and what its bias lacks."""
    groups = geometry.groups
    weight = matrix_of_weight(graph.constants[layer.weight], layer, groups).double()
    sums: MomentSums | None = None
    reads_sum = will_read_sum = torch.zeros(())
    count = 0
    for number, (reads, will_read) in enumerate(inputs):
        seen, will_see = windows(reads, geometry), windows(will_read, geometry)
        reads_mean, will_read_mean = mean_row(seen, groups), mean_row(will_see, groups)
        sums = sums or MomentSums(will_read_mean)
        positions = _positions(seen, number)
        sums.update(rows_of_windows(will_see, positions, groups), rows_of_windows(seen, positions, groups))
        reads_sum = reads_sum + len(reads) * reads_mean
        will_read_sum = will_read_sum + len(reads) * will_read_mean
        count += len(reads)
    if sums is None:
        raise ValueError("no images to reconstruct with")
    moments = sums.moments()
    refit = refitted(weight, moments, RIDGE)
    scale = scales_of(refit)
    steps = rounded_with_compensation(refit, scale, damped(moments.disturbed, RIDGE))
    # The means are of all positions, because a bias is as far off as they are.
    lacking = torch.einsum("gok,gk->go", weight, reads_sum / count)
    lacking -= torch.einsum("gok,gk->go", steps * scale.unsqueeze(2), will_read_sum / count)
    values = weight_of_matrix(steps, layer).to(torch.int8).cpu().numpy()
    stored = Int8Weight(values, scale.reshape(-1).float().cpu().numpy(), layer.channel_axis)
    return stored, lacking.reshape(-1).float()


def _positions(seen: torch.Tensor, seed: int) -> torch.Tensor:
    """Draws output positions of a batch, the same ones every time."""
    available = seen.shape[0] * seen.shape[2] * seen.shape[3]
    columns = seen.shape[1] * seen.shape[4] * seen.shape[5]
    count = min(available, _ROWS, max(1, _NUMBERS // columns))
    drawn = np.random.default_rng([seed, available]).choice(available, count, replace=False)
    return torch.from_numpy(np.sort(drawn)).to(seen.device)
