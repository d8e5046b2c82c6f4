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


# Inside the first blocks a single tensor may be a dozen times as large as the image: no place to keep 128 of them.
_LARGEST_CUT = 3.0


@dataclass(frozen=True)
class Segment:
    """The nodes from position `begin` up to, not including, `end`; `tensor` is all that flows into them."""

    begin: int
    end: int
    tensor: str

    def holds(self, position: int) -> bool:
        """Tells whether a node lies in it."""
        return self.begin <= position < self.end


def segments_from_graph(graph: TorchGraph, image: torch.Tensor) -> tuple[Segment, ...]:
    """Cuts a graph where a single, small tensor is alive, in graph order.

    Args:
        graph: The graph.
        image: One normalized image (1, 3, size, size), to see how large the tensors are.
    """
    tensors = [name for _, name in graph.cuts]
    with torch.inference_mode():
        values = graph.run({INPUT_NAME: image.to(graph.device)}, keep=tensors)
    small = [cut for cut in graph.cuts if values[cut[1]].numel() <= _LARGEST_CUT * image.numel()]
    ends = [position for position, _ in small[1:]] + [len(graph)]
    return tuple(Segment(begin, end, name) for (begin, name), end in zip(small, ends, strict=True))


def swept_segments(
    graph: TorchGraph, batches: Sequence[torch.Tensor], label: str
) -> Iterator[tuple[Segment, list[State]]]:
    """Walks the float graph segment by segment with all images at once.

    Args:
        graph: The FP32 graph.
        batches: Normalized images (N, 3, size, size) each.
        label: What the progress bar says.

    Yields:
        Each segment and, for every batch, the state that enters it; the list is changed when the next one is asked for.
    """
    states: list[State] = [{INPUT_NAME: batch.to(graph.device)} for batch in batches]
    for segment in progress_bar(segments_from_graph(graph, batches[0][:1]), label, unit="segment"):
        yield segment, states
        with torch.inference_mode():
            for number, state in enumerate(states):  # one by one, so that old and new states never exist all at once
                states[number] = graph.run(state, None, segment.begin, segment.end)
