"""A graph cut into segments between which a single tensor flows, so that carrying images along takes little memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from export.contract import INPUT_NAME
from export.progress import progress_bar

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from calibration.torch_graph import State, TorchGraph


@dataclass(frozen=True)
class Segment:
    """The nodes from position `begin` up to, not including, `end`; `tensor` is all that flows into them."""

    begin: int
    end: int
    tensor: str

    def holds(self, position: int) -> bool:
        """Tells whether a node lies in it."""
        return self.begin <= position < self.end


def segments_from_graph(graph: TorchGraph) -> tuple[Segment, ...]:
    """Cuts a graph wherever a single tensor is alive, in graph order."""
    ends = [position for position, _ in graph.cuts[1:]] + [len(graph)]
    return tuple(Segment(begin, end, name) for (begin, name), end in zip(graph.cuts, ends, strict=True))


def swept_segments(
    graph: TorchGraph, batches: Sequence[torch.Tensor], label: str
) -> Iterator[tuple[Segment, list[State]]]:
    """Walks the float graph segment by segment with all images at once.

    Args:
        graph: The FP32 graph.
        batches: Normalized images (N, 3, size, size) each.
        label: What the progress bar says.

    Yields:
        Each segment and, for every batch, the state that enters it.
    """
    states: list[State] = [{INPUT_NAME: batch.to(graph.device)} for batch in batches]
    for segment in progress_bar(segments_from_graph(graph), label, unit="segment"):
        yield segment, states
        with torch.inference_mode():
            states = [graph.run(state, None, segment.begin, segment.end) for state in states]
