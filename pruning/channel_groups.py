"""Finds the channels inside a block that can be removed without touching anything outside it, from the graph alone.

Such are the middle channels of an inverted bottleneck: made by an expansion, filtered by a depthwise convolution, gated
by squeeze-and-excitation and read by a projection; those of a ResNet's block, and the hidden ones of a transformer's
two linear layers. Channels that an addition combines belong to the residual stream,
which all blocks share, and are left alone. No name of any architecture occurs here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from calibration.graph_index import GraphIndex, attribute
from calibration.layers import POOL_OPS, Role, biases_from_graph, layers_from_graph

if TYPE_CHECKING:
    from collections.abc import Mapping

    import onnx

    from calibration.layers import Layer

_FUNCTIONS = frozenset(
    {"Clip", "Elu", "Gelu", "HardSigmoid", "HardSwish", "Identity", "LeakyRelu", "Relu", "Sigmoid", "Softplus", "Tanh"}
)
_CHANNELWISE_OPS = _FUNCTIONS | {"Mul", "MaxPool"} | POOL_OPS
_CORE, _STEPS, _LEAST = 16, 16, 8
_PRUNED_ROLES = frozenset({Role.CONVOLUTION})


@dataclass(frozen=True)
class ChannelGroup:
    """Channels that can be removed together.

    Attributes:
        writers: Layers that make them, one output per channel; the first is a convolution that mixes channels.
        readers: Layers that read them and mix them; the last is not part of a squeeze-and-excitation gate.
        channels: How many there are.
    """

    writers: tuple[Layer, ...]
    readers: tuple[Layer, ...]
    channels: int

    @property
    def name(self) -> str:
        """The name of the last reader, whose output is what the removal must not change."""
        return self.readers[-1].name

    @property
    def shape(self) -> str:
        """What its layers look like; blocks that are alike have it in common."""
        return " ".join("x".join(map(str, layer.weight_shape)) for layer in (*self.writers, *self.readers))

    @property
    def weight_count(self) -> int:
        """Weights of all its layers."""
        return sum(layer.weight_count for layer in (*self.writers, *self.readers))


def kept_channels(channels: int) -> tuple[int, ...]:
    """Returns how many of a group's channels may be kept, falling from all of them to about an eighth.

    Multiples of 16, the granularity of tensor cores, and of about a sixteenth of the channels: similar blocks then
    often end equally wide and share the kernels that an engine carries for each width.
    """
    step = _CORE * max(1, round(channels / _STEPS / _CORE))
    fewest = step * max(1, channels // _LEAST // step)
    return (channels, *(kept for kept in reversed(range(fewest, channels, step))))


def channel_groups_from_graph(graph: onnx.GraphProto) -> tuple[ChannelGroup, ...]:
    """Returns the groups, in graph order; no two have a layer in common, the ones with more weights win."""
    index = GraphIndex(graph)
    layers = {layer.name: layer for layer in layers_from_graph(graph)}
    biases = biases_from_graph(graph)
    candidates = [_group_of(layer, layers, index, biases) for layer in layers.values() if layer.role in _PRUNED_ROLES]
    groups = [group for group in candidates if group is not None]
    taken: set[str] = set()
    chosen = set()
    for group in sorted(groups, key=lambda group: -group.weight_count):
        names = {layer.name for layer in (*group.writers, *group.readers)}
        if not names & taken:
            taken |= names
            chosen.add(group.name)
    return tuple(group for group in groups if group.name in chosen)


@dataclass
class _Search:
    """What was found so far of one group."""

    tensors: set[str]
    writers: dict[str, Layer]
    of_convolutions: bool
    biases: Mapping[str, str]
    readers: dict[str, Layer] = field(default_factory=dict)


def _group_of(
    first: Layer, layers: Mapping[str, Layer], index: GraphIndex, biases: Mapping[str, str]
) -> ChannelGroup | None:
    channels = first.weight_shape[first.channel_axis]
    if attribute(index.producers[first.output], "group", 1) != 1:  # its channels cannot be removed one by one
        return None
    search = _Search({first.output}, {first.name: first}, _is_convolution(first, index), biases)
    pending = [first.output]
    while pending:
        tensor = pending.pop()
        if tensor in index.outputs:
            return None
        for use in index.uses[tensor]:
            followed = _followed(use.node, search, layers, index)
            if followed is None:
                return None
            pending += followed
    readers = [search.readers[name] for name in layers if name in search.readers]
    if not readers or readers[-1].role not in _PRUNED_ROLES:
        return None
    writers = [first, *(search.writers[name] for name in layers if name in search.writers and name != first.name)]
    if any(writer.weight_shape[writer.channel_axis] != channels for writer in writers):
        return None  # a filter with several outputs per channel, or one gate for all of them
    return ChannelGroup(tuple(writers), tuple(readers), channels)


def _is_convolution(layer: Layer, index: GraphIndex) -> bool:
    """Tells convolutions, whose channels lie along axis 1, from matrix products, whose lie along the last."""
    return index.producers[layer.output].op_type == "Conv"


def _keeps_channels(node: onnx.NodeProto, search: _Search, index: GraphIndex) -> bool:
    """Tells whether a pooling averages over places alone."""
    if node.op_type != "ReduceMean":
        return search.of_convolutions
    axes = index.constant(node.input[1]) if len(node.input) > 1 else attribute(node, "axes")
    over = {int(axis) % 4 for axis in axes} if axes is not None else set()
    return search.of_convolutions and over == {2, 3}


def _followed(
    node: onnx.NodeProto, search: _Search, layers: Mapping[str, Layer], index: GraphIndex
) -> list[str] | None:
    """Returns the tensors that hold the channels because of a node which reads them; None if it ends the group."""
    layer = layers.get(node.name)
    if layer is not None and layer.role is not Role.DEPTHWISE:
        if attribute(node, "group", 1) != 1 or _is_convolution(layer, index) != search.of_convolutions:
            return None
        search.readers[layer.name] = layer
        return []
    if layer is not None:
        search.writers[layer.name] = layer
    elif node.op_type == "Add":
        if not any(search.biases.get(name) in node.input for name in search.writers):
            return None
    elif node.op_type not in _CHANNELWISE_OPS or (
        node.op_type in POOL_OPS and not _keeps_channels(node, search, index)
    ):
        return None
    found = [node.output[0]] if node.output[0] not in search.tensors else []
    if node.op_type == "Mul":
        gate = _gate_writers(node, search.tensors, layers, index)
        if gate is None:
            return None
        search.writers.update({writer.name: writer for writer, _ in gate})
        # What a gate's own tensors are used for besides is followed like any other use.
        found += [tensor for _, tensors in gate for tensor in tensors if tensor not in search.tensors]
    search.tensors.update(found)
    return found


def _gate_writers(
    multiplication: onnx.NodeProto, tensors: set[str], layers: Mapping[str, Layer], index: GraphIndex
) -> list[tuple[Layer, list[str]]] | None:
    """Finds the layers that make a factor by which the channels are multiplied, and the tensors on the way.

    Returns:
        Nothing for a factor that comes from the channels themselves, as in SiLU, or that is the same for all of them;
        None if the factor comes from elsewhere.
    """
    found = []
    for factor in multiplication.input:
        name, on_the_way = factor, list[str]()
        constant = index.constant(name)
        if constant is not None and constant.size == 1:
            continue
        while name not in tensors:
            node = index.producers.get(name)
            if node is None:
                return None
            on_the_way.append(name)
            layer = layers.get(node.name)
            if layer is not None and layer.role is Role.SQUEEZE_EXCITE:
                found.append((layer, on_the_way))
                break
            if layer is not None or node.op_type not in _CHANNELWISE_OPS - {"Mul"} - POOL_OPS:
                return None
            name = node.input[0]
    return found
