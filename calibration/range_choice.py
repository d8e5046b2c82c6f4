"""Chooses the range of each activation by what rounding it does to the output of its block."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from calibration.errors import CalibrationError
from calibration.fake_quantization import rounded_activation
from calibration.ranges import HEADROOMS, Headroom, Method, amax_from_histogram
from calibration.segments import swept_segments
from calibration.table import TensorRange

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from calibration.histogram import Histogram
    from calibration.placement import QuantizedTensor
    from calibration.segments import Segment
    from calibration.torch_graph import State, TorchGraph

CANDIDATES: tuple[Method, ...] = ("minmax", "percentile", "mean-max", "mse")
# Images that choose; the choice is among a handful of candidates.
RANGE_IMAGES = 32
# Ranges that differ by less than this round alike.
_SAME_RANGE = 0.01


def ranges_by_block_error(
    graph: TorchGraph,
    activations: Sequence[QuantizedTensor],
    histograms: Mapping[str, Histogram],
    batches: Sequence[torch.Tensor],
) -> dict[str, TensorRange]:
    """Chooses a range per tensor from the estimators' proposals.

    Some proposals leave room above the largest value seen, and the judging images are none of those that were seen: how
    far images to come exceed a range is measured, not guessed.

    A candidate is judged by the squared error that rounding this tensor alone causes where its segment of the graph
    ends, at the latest where its residual block does: the error of the tensor itself says little, because gates and
    weights make one channel matter a thousand times more than another.

    Args:
        graph: The FP32 graph.
        activations: Tensors to be rounded and who reads them.
        histograms: Tensor -> what was seen of it.
        batches: Calibration images to judge with, of videos that the histograms did not see; normalized
            (N, 3, size, size) each.

    Raises:
        CalibrationError: A tensor's readers do not lie in one segment, which no residual network does.
    """
    ranges: dict[str, TensorRange] = {}
    for segment, states in swept_segments(graph, batches, "choosing ranges"):
        own = [a for a in activations if segment.holds(graph.position(a.consumers[0].node))]
        for activation in own:
            if not all(segment.holds(graph.position(consumer.node)) for consumer in activation.consumers):
                raise CalibrationError(f"tensor {activation.tensor} is read across blocks; keep its readers float")
        candidates = {a.tensor: candidate_ranges(histograms[a.tensor]) for a in own}
        errors = _errors(graph, segment, states, own, candidates)
        for activation in own:
            seen = histograms[activation.tensor]
            _, _, method = min(
                (errors[activation.tensor, m], i, m) for i, m in enumerate(candidates[activation.tensor])
            )
            amax = candidates[activation.tensor][method]
            ranges[activation.tensor] = TensorRange(amax, method, seen.minimum, seen.maximum)
    return ranges


def candidate_ranges(histogram: Histogram) -> dict[Method | Headroom, float]:
    """Returns the proposals, the widest first; those that hardly differ from another are left out."""
    proposed: dict[Method | Headroom, float] = {}
    largest = histogram.largest_magnitude
    widened: dict[Method | Headroom, float] = {name: factor * largest for name, factor in HEADROOMS.items()}
    widened.update({method: amax_from_histogram(histogram, method) for method in CANDIDATES})
    for method, amax in sorted(widened.items(), key=lambda entry: -entry[1]):
        if all(abs(amax - known) > _SAME_RANGE * known for known in proposed.values()):
            proposed[method] = amax
    return proposed


def _errors(
    graph: TorchGraph,
    segment: Segment,
    states: Sequence[State],
    activations: Sequence[QuantizedTensor],
    candidates: Mapping[str, Mapping[Method | Headroom, float]],
) -> dict[tuple[str, Method | Headroom], float]:
    errors = {(tensor, method): 0.0 for tensor, proposed in candidates.items() for method in proposed}
    # With one candidate there is nothing to choose.
    contested = [activation for activation in activations if len(candidates[activation.tensor]) > 1]
    with torch.inference_mode():
        for state in states if contested else ():
            expected = _only(graph.run(state, None, segment.begin, segment.end))
            for activation in contested:
                for method, amax in candidates[activation.tensor].items():
                    transform = rounded_activation(amax)
                    overrides = {(consumer.node, consumer.index): transform for consumer in activation.consumers}
                    got = _only(graph.run(state, overrides, segment.begin, segment.end))
                    errors[activation.tensor, method] += float((got - expected).double().square().sum())
    return errors


def _only(state: State) -> torch.Tensor:
    (value,) = state.values()
    return value
