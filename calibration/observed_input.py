"""What a layer reads, with and without what was done to the layers before it: images walked both ways, and moments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from calibration.layer_inputs import mean_row, rows_of_windows, windows
from calibration.segments import swept_segments
from calibration.weight_fitting import Moments, MomentSums

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

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


class PairedWalk:
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


def walked_layers(
    graph: TorchGraph,
    layers: Sequence[Layer],
    batches: Sequence[torch.Tensor],
    overrides: Callable[[], Overrides],
    label: str = "reconstructing",
) -> Iterator[tuple[Layer, Iterator[tuple[torch.Tensor, torch.Tensor]]]]:
    """Walks a network both ways, segment by segment, and stops at each layer with what it reads.

    Args:
        graph: The float graph.
        layers: Where to stop, in graph order.
        batches: Normalized images (N, 3, size, size) each.
        overrides: Returns what the variant replaces by now; asked again at each layer, which may add to it.
        label: What the progress bar says.

    Yields:
        A layer, and its input batch by batch, as `PairedWalk.inputs` gives it; all of it must be read.
    """
    changed: list[State] | None = None
    for segment, states in swept_segments(graph, batches, label):
        walk = PairedWalk(graph, segment, states, states if changed is None else changed)
        for layer in layers:
            if segment.holds(graph.position(layer.name)):
                with torch.inference_mode():
                    inputs = walk.inputs(layer, overrides())
                yield layer, inputs
        with torch.inference_mode():
            changed = walk.finished(overrides())


def _bytes(state: State) -> int:
    return sum(value.nbytes for value in state.values())


@dataclass(frozen=True)
class ObservedInput:
    """What is known of a layer's input.

    Attributes:
        moments: Second moments, of some positions.
        undisturbed_mean: (groups, K), mean row of all positions without anything done to earlier layers.
        disturbed_mean: (groups, K), the same as the variant has it.
    """

    moments: Moments
    undisturbed_mean: torch.Tensor
    disturbed_mean: torch.Tensor

    def lacking(self, weight: torch.Tensor, settled: torch.Tensor) -> torch.Tensor:
        """Returns what the mean output (outputs,) lacks when a weight (groups, outputs, K) is replaced by another."""
        wanted = torch.einsum("gok,gk->go", weight, self.undisturbed_mean)
        return (wanted - torch.einsum("gok,gk->go", settled, self.disturbed_mean)).reshape(-1).float()


def observed_input(inputs: Iterator[tuple[torch.Tensor, torch.Tensor]], geometry: LayerGeometry) -> ObservedInput:
    """Measures a layer's input.

    Args:
        inputs: Batches of the input: undisturbed, and as the variant has it.
        geometry: How the layer reads it.

    Raises:
        ValueError: There are no batches.
    """
    sums: MomentSums | None = None
    groups, count = geometry.groups, 0
    undisturbed_sum = disturbed_sum = torch.zeros(())
    for number, (reads, will_read) in enumerate(inputs):
        seen, will_see = windows(reads, geometry), windows(will_read, geometry)
        undisturbed, disturbed = mean_row(seen, groups), mean_row(will_see, groups)
        sums = sums or MomentSums(disturbed)
        positions = _positions(seen, number)
        sums.update(rows_of_windows(will_see, positions, groups), rows_of_windows(seen, positions, groups))
        # Means are of all positions, because a bias is as far off as they are.
        undisturbed_sum = undisturbed_sum + len(reads) * undisturbed
        disturbed_sum = disturbed_sum + len(reads) * disturbed
        count += len(reads)
    if sums is None:
        raise ValueError("no images to fit a layer to")
    return ObservedInput(sums.moments(), undisturbed_sum / count, disturbed_sum / count)


def _positions(seen: torch.Tensor, seed: int) -> torch.Tensor:
    """Draws output positions of a batch, the same ones every time."""
    available = seen.shape[0] * seen.shape[2] * seen.shape[3]
    columns = seen.shape[1] * seen.shape[4] * seen.shape[5]
    count = min(available, _ROWS, max(1, _NUMBERS // columns))
    drawn = np.random.default_rng([seed, available]).choice(available, count, replace=False)
    return torch.from_numpy(np.sort(drawn)).to(seen.device)
