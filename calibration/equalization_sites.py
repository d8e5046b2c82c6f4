"""Where the channels of an activation can be shifted and scaled without changing what the network computes.

Three kinds of places, from the graph alone:

- a *stream* is a set of tensors that convolutions make, residual additions join and convolutions read, with nothing
  nonlinear in between: shift and scale disappear into the weights on both sides;
- a *gated* tensor is the product with a squeeze-and-excitation gate: the scale goes into the gate, which has one value
  per channel, and the shift is one addition;
- any other tensor takes an explicit multiplication and addition before its reader.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from calibration.graph_index import GraphIndex, attribute
from calibration.layers import Layer, biases_from_graph, gates_from_graph, layers_from_graph

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    import onnx


@dataclass(frozen=True)
class Stream:
    """Tensors that share one scale per channel.

    Attributes:
        tensors: The tensors that layers read, in graph order.
        producers: The layers whose outputs are joined in it.
        readers: Tensor -> the layers that read it.
        branches: Layer whose output only a residual addition reads -> (identity input, output) of that addition.
        shiftable: The tensors that may be shifted: pointwise layers alone read them, and no padding intervenes.
    """

    tensors: tuple[str, ...]
    producers: tuple[str, ...]
    readers: dict[str, tuple[str, ...]]
    branches: dict[str, tuple[str, str]]
    shiftable: frozenset[str]


@dataclass(frozen=True)
class Site:
    """A tensor that is shifted and scaled by operators of its own.

    Attributes:
        tensor: The tensor.
        readers: The layers that read it and take part.
        gate: The gate that it is the product with, empty if it is no such product.
        shiftable: Whether it may be shifted.
    """

    tensor: str
    readers: tuple[str, ...]
    gate: str
    shiftable: bool


def streams_from_graph(graph: onnx.GraphProto) -> tuple[Stream, ...]:
    """Finds the streams, in graph order."""
    index = GraphIndex(graph)
    layers = {layer.name: layer for layer in layers_from_graph(graph)}
    groups = _linear_groups(index, layers)
    return tuple(_stream(index, layers, group) for group in groups)


def sites_from_graph(graph: onnx.GraphProto, quantized: Collection[str]) -> tuple[Site, ...]:
    """Finds the tensors outside streams that `quantized` layers read, in graph order; the image is not among them."""
    index = GraphIndex(graph)
    layers = {layer.name: layer for layer in layers_from_graph(graph)}
    in_streams = {tensor for stream in streams_from_graph(graph) for tensor in stream.tensors}
    gates, biases = gates_from_graph(graph), biases_from_graph(graph)
    readers: dict[str, list[str]] = {}
    for name in [layer.name for layer in layers.values() if layer.name in quantized]:
        readers.setdefault(layers[name].activation, []).append(name)
    return tuple(
        Site(
            tensor=tensor,
            readers=tuple(names),
            gate=gates.get(tensor, "") if len(index.uses[tensor]) == len(names) else "",
            shiftable=all(
                _is_pointwise(index, layers[name]) and _takes_bias(index, layers[name], biases) for name in names
            ),
        )
        for tensor, names in readers.items()
        if tensor not in in_streams
        and tensor not in index.inputs
        # What two layers read would have to change with every choice of one of them.
        and sum(use.node.name in layers for use in index.uses[tensor]) == 1
        and _own_weights(index, names, layers)
    )


def _linear_groups(index: GraphIndex, layers: dict[str, Layer]) -> list[list[str]]:
    """Joins the outputs of layers that additions connect; a group with any other reader or producer is dropped."""
    parent: dict[str, str] = {layer.output: layer.output for layer in layers.values()}

    def root(name: str) -> str:
        while parent[name] != name:
            name = parent[name]
        return name

    for node in index.graph.node:
        if node.op_type == "Add" and all(name in parent for name in node.input):
            first, second = (root(name) for name in node.input)
            parent[second] = first
            parent[node.output[0]] = first
    groups: dict[str, list[str]] = {}
    for name in parent:
        groups.setdefault(root(name), []).append(name)
    order = {output: position for position, node in enumerate(index.graph.node) for output in node.output}
    whole = [sorted(group, key=order.__getitem__) for group in groups.values() if _is_linear(index, layers, group)]
    return sorted(whole, key=lambda group: order[group[0]])


def _is_linear(index: GraphIndex, layers: dict[str, Layer], group: list[str]) -> bool:
    members = set(group)
    for name in group:
        if name in index.outputs or not index.uses[name]:
            return False
        for use in index.uses[name]:
            joins = use.node.op_type == "Add" and use.node.output[0] in members
            reads = use.node.name in layers and use.index == 0 and use.node.op_type == "Conv"
            if not (joins or (reads and _groups_keep_channels(index, layers[use.node.name]))):
                return False
    producers = [index.producers[name] for name in group if index.producers[name].op_type != "Add"]
    names = [node.name for node in producers]
    return all(node.op_type == "Conv" for node in producers) and _own_weights(index, names, layers)


def _stream(index: GraphIndex, layers: dict[str, Layer], group: list[str]) -> Stream:
    readers = {
        name: tuple(use.node.name for use in index.uses[name] if use.node.op_type != "Add")
        for name in group
        if any(use.node.op_type != "Add" for use in index.uses[name])
    }
    branches = dict(_branches(index, group))
    additions = [index.producers[name] for name in group if index.producers[name].op_type == "Add"]
    free = len(branches) == len(additions)
    return Stream(
        tensors=tuple(readers),
        producers=tuple(index.producers[name].name for name in group if index.producers[name].op_type != "Add"),
        readers=readers,
        branches=branches,
        shiftable=frozenset(
            name for name, names in readers.items() if free and all(_is_pointwise(index, layers[n]) for n in names)
        ),
    )


def _branches(index: GraphIndex, group: list[str]) -> Iterator[tuple[str, tuple[str, str]]]:
    for name in group:
        node = index.producers[name]
        if node.op_type != "Add":
            continue
        for branch, identity in (tuple(node.input), tuple(reversed(node.input))):
            maker = index.producers[branch]
            if maker.op_type == "Conv" and len(index.uses[branch]) == 1:
                yield maker.name, (identity, name)
                break


def _is_pointwise(index: GraphIndex, layer: Layer) -> bool:
    node = index.producers[layer.output]
    if node.op_type != "Conv":
        return True
    return set(layer.weight_shape[2:]) <= {1} and not any(attribute(node, "pads", ()))


def _takes_bias(index: GraphIndex, layer: Layer, biases: Mapping[str, str]) -> bool:
    """Tells whether a layer has a bias or an input for one, which a matrix product has not."""
    return layer.name in biases or index.producers[layer.output].op_type != "MatMul"


def _groups_keep_channels(index: GraphIndex, layer: Layer) -> bool:
    """Tells ordinary and depthwise convolutions from grouped ones, whose weights do not list every input channel."""
    groups = attribute(index.producers[layer.output], "group", 1)
    return bool(groups == 1 or layer.weight_shape[1] == 1)


def _own_weights(index: GraphIndex, names: Collection[str], layers: dict[str, Layer]) -> bool:
    """Tells whether no other node reads the weights and biases, which are about to be rescaled."""
    nodes = [index.producers[layers[name].output] for name in names]
    constants = [constant for node in nodes for constant in node.input[1:] if constant]
    return all(len(index.uses[constant]) == 1 for constant in constants) and all(
        _groups_keep_channels(index, layers[name]) for name in names
    )
