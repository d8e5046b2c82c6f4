"""How much each group of layers, rounded alone, disturbs the logit; no labels are needed for that.

One-at-a-time logit SQNR as in Pandey et al., "A Practical Mixed Precision Algorithm for Post-Training Quantization"
(arXiv 2302.05397), with each layer's bias corrected first, because the variant's will be, too. Only what lies behind
the group is computed again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch

from calibration.segments import segments_from_graph
from export.contract import INPUT_NAME, OUTPUT_NAME
from export.progress import progress_bar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from calibration.placement import Arithmetic
    from calibration.segments import Segment
    from calibration.torch_graph import Overrides, State, TorchGraph


@dataclass(frozen=True)
class Candidate:
    """A group in one arithmetic.

    Attributes:
        group: Its name.
        arithmetic: How it computes.
        overrides: What that replaces.
        first_node: The first node that notices.
    """

    group: str
    arithmetic: Arithmetic
    overrides: Overrides
    first_node: str


@dataclass
class Measurement:
    """What was measured so far; survives an interruption as JSON.

    Attributes:
        logits: FP32 logits, image by image.
        errors: `group|arithmetic` -> logit minus FP32 logit, image by image.
    """

    logits: list[float] = field(default_factory=list)
    errors: dict[str, list[float]] = field(default_factory=dict)

    def noise(self, group: str, arithmetic: Arithmetic) -> float | None:
        """Returns the noise power of a group; None if it was not measured.

        The mean of the error is left out, because the last repair, the alignment of the logit, takes it away.
        """
        errors = self.errors.get(f"{group}|{arithmetic.value}")
        return None if not errors else float(np.var(np.asarray(errors)))


def measured_sensitivity(
    graph: TorchGraph,
    candidates: Sequence[Candidate],
    batches: Sequence[torch.Tensor],
    done: Measurement,
    save: Callable[[Measurement], None],
) -> Measurement:
    """Measures every candidate on every image, going on after what `done` holds.

    Args:
        graph: The FP32 graph.
        candidates: What to measure.
        batches: Normalized calibration images (N, 3, size, size) each; always the same ones for one measurement.
        done: An earlier measurement's state; extended in place.
        save: Gets the state after each batch.
    """
    finished = 0
    segments = segments_from_graph(graph, batches[0][:1])
    for batch in progress_bar(batches, "measuring sensitivity", len(batches), "batch"):
        finished += len(batch)
        if finished <= len(done.logits):
            continue
        with torch.inference_mode():
            states = states_at_cuts(graph, segments, batch.to(graph.device))
            logits = logits_behind(graph, states)
            found = [logits_behind(graph, states, c.overrides, c.first_node) - logits for c in candidates]
        done.logits += logits.tolist()
        for candidate, errors in zip(candidates, found, strict=True):
            done.errors.setdefault(f"{candidate.group}|{candidate.arithmetic.value}", []).extend(errors.tolist())
        save(done)
    return done


def logits_behind(
    graph: TorchGraph, states: Mapping[int, State], overrides: Overrides | None = None, first_node: str = ""
) -> NDArray[np.float64]:
    """Returns the logits (N,), computing only what lies behind a node.

    Args:
        graph: The FP32 graph.
        states: What `states_at_cuts` returned.
        overrides: What is replaced.
        first_node: The first node that notices; without one nothing is replaced.
    """
    last = graph.position(first_node) if first_node else len(graph)
    position = max(cut for cut in states if cut <= last)
    return _logits(graph.run(states[position], overrides, position))


def states_at_cuts(graph: TorchGraph, segments: Sequence[Segment], images: torch.Tensor) -> dict[int, State]:
    """Runs normalized images (N, 3, size, size) and returns what is alive at the beginning of each segment."""
    states: dict[int, State] = {}
    state: State = {INPUT_NAME: images}
    position = 0
    for segment in segments[1:]:
        states[position] = state
        state = graph.run(state, None, position, segment.begin)
        position = segment.begin
    states[position] = state
    return states


def _logits(state: Mapping[str, torch.Tensor]) -> NDArray[np.float64]:
    values: NDArray[np.float64] = state[OUTPUT_NAME].reshape(-1).double().cpu().numpy()
    return values
