from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from calibration.equalization_sites import sites_from_graph, streams_from_graph
from calibration.layers import layers_from_graph
from tests.calibration.small_networks import copied, small_network

if TYPE_CHECKING:
    import onnx

GOLDEN = Path(__file__).parents[1] / "golden" / "equalization_sites.txt"
REGENERATE = "REGENERATE_GOLDEN"


def every_layer(model: onnx.ModelProto) -> frozenset[str]:
    return frozenset(layer.name for layer in layers_from_graph(model.graph))


def text_from_sites(model: onnx.ModelProto) -> str:
    """Writes streams and sites as a reviewer wants to read them."""
    lines = []
    for stream in streams_from_graph(model.graph):
        lines.append(f"stream made by {', '.join(stream.producers)}")
        for tensor, names in stream.readers.items():
            shift = "may be shifted" if tensor in stream.shiftable else "stays where it is"
            lines.append(f"  {tensor} -> {', '.join(names)}; {shift}")
        for layer, (identity, output) in stream.branches.items():
            lines.append(f"  {output} = {identity} + what {layer} makes")
    for site in sites_from_graph(model.graph, every_layer(model)):
        shift = "may be shifted" if site.shiftable else "stays where it is"
        kind = f"gated by {site.gate}" if site.gate else "explicit"
        lines.append(f"{kind}: {site.tensor} -> {', '.join(site.readers)}; {shift}")
    return "\n".join(lines) + "\n"


def test_classification_of_a_small_network_is_the_reviewed_one() -> None:
    text = text_from_sites(small_network())
    if os.environ.get(REGENERATE):
        GOLDEN.write_text(text, encoding="utf-8")
    assert text == GOLDEN.read_text(encoding="utf-8"), f"review the change, then run with {REGENERATE}=1"


def test_streams_of_efficientnet_are_its_projections(b0_model: onnx.ModelProto) -> None:
    """One stream per resolution stage: what the projections of a stage make, and what its skips add up."""
    streams = streams_from_graph(b0_model.graph)
    made = [name for stream in streams for name in stream.producers]
    assert sorted(made) == sorted(
        name for name in every_layer(b0_model) if name.endswith(("conv_pwl", "blocks.0.0.conv_pw"))
    )
    assert all(len({name.split(".")[1] for name in stream.producers}) == 1 for stream in streams)
    assert all(stream.shiftable == set(stream.tensors) for stream in streams)


def test_only_tensors_that_quantized_layers_read_are_sites() -> None:
    model = small_network()
    assert {site.tensor for site in sites_from_graph(model.graph, {"head", "second.project"})} == {
        "second.gate/Mul.out"
    }
    assert sites_from_graph(model.graph, {"stem"}) == ()


def test_tensor_that_two_layers_read_is_left_alone() -> None:
    """Its operators would have to change with every choice of one of the readers, and with them the measured range."""
    model = copied(small_network())
    graph = model.graph
    other = next(node for node in graph.node if node.name == "second/Add")
    graph.node.remove(other)
    spared = type(other)()
    spared.CopyFrom(next(node for node in graph.node if node.name == "first.project"))
    spared.name, spared.input[1], spared.output[0] = "spared", "first.project.copy", "spared.out"
    weight = type(graph.initializer[0])()
    weight.CopyFrom(next(tensor for tensor in graph.initializer if tensor.name == "first.project.weight"))
    weight.name = "first.project.copy"
    graph.initializer.append(weight)
    position = [node.name for node in graph.node].index("first.project")
    graph.node.insert(position, spared)
    other.input[0] = "spared.out"
    before = {site.tensor for site in sites_from_graph(small_network().graph, {"first.project"})}
    assert len(before) == 1
    for quantized in ({"first.project"}, {"spared"}, {"first.project", "spared"}):
        assert sites_from_graph(graph, quantized) == ()


def test_stream_with_a_nonlinear_reader_is_none() -> None:
    model = copied(small_network())
    assert len(streams_from_graph(model.graph)) == 1
    head = next(node for node in model.graph.node if node.name == "head")
    position = list(model.graph.node).index(head)
    relu = type(head)(op_type="Relu", name="relu", input=[head.input[0]], output=["relu.out"])
    head.input[0] = "relu.out"
    model.graph.node.insert(position, relu)
    assert streams_from_graph(model.graph) == ()
