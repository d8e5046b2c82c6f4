from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from onnx import helper, numpy_helper

from calibration.errors import CalibrationError
from calibration.histogram import StreamingHistogram
from calibration.placement import Consumer, PlacementPolicy, QuantizedTensor, placement_from_graph
from calibration.range_choice import CANDIDATES, candidate_ranges, ranges_by_block_error
from calibration.ranges import HEADROOMS, amax_from_histogram
from calibration.segments import segments_from_graph, swept_segments
from calibration.torch_graph import TorchGraph
from export.contract import INPUT_NAME
from export.runners import session_from_model
from tests.calibration.planted import with_outputs
from tests.calibration.small_networks import images_for_tests, small_network
from tests.calibration.workbench import histograms_of

if TYPE_CHECKING:
    import onnx


POLICY = PlacementPolicy(stem=True, depthwise=True, squeeze_excite=True, residual=False)


def block_error(
    model: onnx.ModelProto, activation: QuantizedTensor, amax: float, end: str, images: np.ndarray
) -> float:
    """Writes the graph with that one pair and lets ONNX Runtime measure the error at the end of the block."""
    changed = with_outputs(model, [] if end == "logit" else [end])
    scale = np.float32(np.float16(amax / 127))
    changed.graph.initializer.append(numpy_helper.from_array(np.array(scale), "s"))
    changed.graph.initializer.append(numpy_helper.from_array(np.array(0, np.int8), "z"))
    for node in changed.graph.node:
        for consumer in activation.consumers:
            if node.name == consumer.node:
                node.input[consumer.index] = "dq"
    names = [node.name for node in changed.graph.node]
    first = min(names.index(consumer.node) for consumer in activation.consumers)
    changed.graph.node.insert(first, helper.make_node("DequantizeLinear", ["q", "s", "z"], ["dq"], name="dq"))
    changed.graph.node.insert(first, helper.make_node("QuantizeLinear", [activation.tensor, "s", "z"], ["q"], name="q"))
    (got,) = session_from_model(changed).run([end], {INPUT_NAME: images})
    (expected,) = session_from_model(with_outputs(model, [] if end == "logit" else [end])).run(
        [end], {INPUT_NAME: images}
    )
    return float(np.sum((got.astype(np.float64) - expected) ** 2))


def block_end(model: onnx.ModelProto, node: str, image: np.ndarray) -> str:
    """Returns the first tensor behind a node that flows alone and is at most three times the image."""
    nodes = list(model.graph.node)
    start = [other.name for other in nodes].index(node)
    for place in range(start + 1, len(nodes)):
        made = {INPUT_NAME, *(name for other in nodes[:place] for name in other.output)}
        crossing = made & {name for other in nodes[place:] for name in other.input}
        if len(crossing) == 1:
            (name,) = crossing
            (value,) = session_from_model(with_outputs(model, [name])).run([name], {INPUT_NAME: image})
            if value.size <= 3 * image.size:
                return str(name)
    return "logit"


@pytest.mark.parametrize("seed", range(2))
def test_chosen_range_has_the_least_error_at_the_end_of_its_block(seed: int) -> None:
    model, images = small_network(seed), images_for_tests(6, seed=seed)
    images[0, :, :4, :4] *= 12  # outliers, so that the estimators disagree
    activations = placement_from_graph(model.graph, POLICY).activations
    histograms = histograms_of(model, tuple(a.tensor for a in activations), images)
    batches = (torch.from_numpy(images[:4]), torch.from_numpy(images[4:]))
    found = ranges_by_block_error(TorchGraph(model), activations, histograms, batches)
    assert list(found) == [activation.tensor for activation in activations]
    assert len({entry.method for entry in found.values()}) > 1
    for activation in activations:
        seen, entry = histograms[activation.tensor], found[activation.tensor]
        proposals = {method: amax_from_histogram(seen, method) for method in CANDIDATES}
        proposals |= {name: factor * seen.largest_magnitude for name, factor in HEADROOMS.items()}
        assert entry.amax == proposals[entry.method]
        assert (entry.minimum, entry.maximum) == (seen.minimum, seen.maximum)
        end = block_end(model, activation.consumers[0].node, images[:1])
        errors = {
            method: block_error(model, activation, proposals[method], end, images)
            # Proposals within one percent of each other count as one; that has a test of its own.
            for method in candidate_ranges(seen)
        }
        assert errors[entry.method] <= 1.05 * min(errors.values()), (activation.tensor, errors)


def test_proposals_that_hardly_differ_are_left_out() -> None:
    counter = StreamingHistogram()
    for _ in range(3):
        counter.update(np.linspace(-1, 1, 100_001, dtype=np.float32))
    proposed = candidate_ranges(counter.snapshot())
    assert list(proposed) == ["minmax+100%", "minmax+50%", "minmax+25%", "minmax"]
    outliers = StreamingHistogram()
    values = np.random.default_rng(0).standard_normal((4, 20_000)).astype(np.float32)
    values[0, 0] = 50
    for value in values:
        outliers.update(value)
    proposed = candidate_ranges(outliers.snapshot())
    assert len(proposed) > 5
    ordered = sorted(proposed.values())
    assert all(b / a > 1.0099 for a, b in pairwise(ordered))


def test_images_beyond_what_was_observed_get_headroom() -> None:
    """Judged on images that reach farther than those observed, clipping at the largest value seen loses."""
    model, images = small_network(5), images_for_tests(8, seed=5)
    activations = placement_from_graph(model.graph, POLICY).activations
    histograms = histograms_of(model, tuple(a.tensor for a in activations), images[:4] * np.float32(0.5))
    found = ranges_by_block_error(TorchGraph(model), activations, histograms, (torch.from_numpy(images[4:]),))
    stem = found[INPUT_NAME]
    assert stem.method in HEADROOMS
    assert stem.amax > stem.maximum


def test_order_of_the_images_does_not_matter() -> None:
    model, images = small_network(3), images_for_tests(6, seed=3)
    activations = placement_from_graph(model.graph, POLICY).activations
    tensors = tuple(activation.tensor for activation in activations)
    found = [
        ranges_by_block_error(
            TorchGraph(model), activations, histograms_of(model, tensors, arranged), (torch.from_numpy(arranged),)
        )
        for arranged in (images, images[::-1].copy())
    ]
    assert found[0] == found[1]


def test_tensor_read_across_blocks_is_refused() -> None:
    model = small_network()
    tensor = QuantizedTensor(INPUT_NAME, (Consumer("stem", 0), Consumer("head", 0)))
    counter = StreamingHistogram()
    counter.update(np.ones(3, np.float32))
    with pytest.raises(CalibrationError, match="tensor image is read across blocks"):
        ranges_by_block_error(
            TorchGraph(model), [tensor], {INPUT_NAME: counter.snapshot()}, (torch.from_numpy(images_for_tests(1)),)
        )


def test_segments_cover_the_graph_and_carry_what_onnx_runtime_computes(b0_model: onnx.ModelProto) -> None:
    model, images = b0_model, images_for_tests(2, 64)
    graph = TorchGraph(model)
    segments = segments_from_graph(graph, torch.from_numpy(images[:1]))
    assert (segments[0].begin, segments[-1].end) == (0, len(model.graph.node))
    assert all(a.end == b.begin for a, b in pairwise(segments))
    blocks = {name.rsplit(".", 1)[0] for name in (s.tensor for s in segments) if name.startswith("blocks.")}
    assert len(blocks) > 14
    names = [segment.tensor for segment in segments[1:]]
    sizes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim][1:] for v in model.graph.value_info}
    assert max(np.prod(sizes[name]) for name in names) <= 3 * 3 * 64 * 64
    values = session_from_model(with_outputs(model, names)).run(names, {INPUT_NAME: images})
    expected = {INPUT_NAME: images, **dict(zip(names, values, strict=True))}
    visited = 0
    for segment, states in swept_segments(graph, [torch.from_numpy(images[:1]), torch.from_numpy(images[1:])], "test"):
        assert [list(state) for state in states] == [[segment.tensor]] * 2
        got = torch.cat([state[segment.tensor] for state in states]).numpy()
        reference = expected[segment.tensor]
        np.testing.assert_allclose(got, reference, atol=2e-4 * max(1.0, np.abs(reference).max()))
        visited += 1
    assert visited == len(segments)
