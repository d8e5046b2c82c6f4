"""The layers of a float graph and their roles, derived from the graph alone.

No name of any architecture occurs here: a squeeze-and-excitation convolution is one that lies between a pooling and
the multiplication with what was pooled, whatever the exporter called it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from calibration.errors import QuantizationError
from calibration.graph_index import GraphIndex, attribute

if TYPE_CHECKING:
    import onnx

LAYER_OPS = frozenset({"Conv", "Gemm", "MatMul"})
POOL_OPS = frozenset({"ReduceMean", "GlobalAveragePool", "AveragePool"})


class Role(Enum):
    """What a layer does in the network."""

    STEM = "stem"
    CONVOLUTION = "convolution"
    DEPTHWISE = "depthwise"
    SQUEEZE_EXCITE = "squeeze-excite"
    HEAD = "head"
    CLASSIFIER = "classifier"


@dataclass(frozen=True)
class Layer:
    """A convolution or matrix product with constant weights.

    Attributes:
        name: Name of its node.
        role: What it does.
        activation: The tensor at its first input.
        weight: The initializer at its second input.
        weight_shape: Shape of that initializer.
        channel_axis: Axis of the output channels in it.
        output: The tensor it makes.
    """

    name: str
    role: Role
    activation: str
    weight: str
    weight_shape: tuple[int, ...]
    channel_axis: int
    output: str

    @property
    def weight_count(self) -> int:
        """Number of weights."""
        return math.prod(self.weight_shape)


def layers_from_graph(graph: onnx.GraphProto) -> tuple[Layer, ...]:
    """Finds the layers with constant weights, in graph order.

    Raises:
        QuantizationError: Two nodes share a name, or a layer has none, so that a placement could not name them.
    """
    index = GraphIndex(graph)
    _require_unique_names(graph)
    roles = _roles_by_node(index)
    return tuple(
        Layer(
            name=node.name,
            role=roles.get(node.name) or _role_by_shape(node, index),
            activation=node.input[0],
            weight=node.input[1],
            weight_shape=tuple(index.initializers[node.input[1]].dims),
            channel_axis=channel_axis(node),
            output=node.output[0],
        )
        for node in graph.node
        if is_layer(node, index)
    )


def biases_from_graph(graph: onnx.GraphProto) -> dict[str, str]:
    """Finds the bias of each layer that has one of its own: layer -> initializer of shape (outputs,).

    That of a matrix product, which has no input for it, is what the one addition behind it adds.
    """
    index = GraphIndex(graph)
    found = {}
    for layer in layers_from_graph(graph):
        name = _bias_of(index.producers[layer.output], layer, index)
        if name in index.initializers and len(index.uses[name]) == 1:
            found[layer.name] = name
    return found


def _bias_of(node: onnx.NodeProto, layer: Layer, index: GraphIndex) -> str:
    if node.op_type != "MatMul":
        return node.input[2] if len(node.input) > 2 else ""
    uses = index.uses[layer.output]
    if len(uses) != 1 or uses[0].node.op_type != "Add" or layer.output in index.outputs:
        return ""
    added: str = uses[0].node.input[1 - uses[0].index]
    tensor = index.initializers.get(added)
    outputs = layer.weight_shape[layer.channel_axis]
    return added if tensor is not None and tuple(tensor.dims) == (outputs,) else ""


def gates_from_graph(graph: onnx.GraphProto) -> dict[str, str]:
    """Finds the squeeze-and-excitation gates: gated tensor, the product -> its gate, one value per channel."""
    index = GraphIndex(graph)
    found = {}
    for node in graph.node:
        if node.op_type == "Mul":
            for gated, gate in (tuple(node.input), tuple(reversed(node.input))):
                if _layers_between_pool_and_gate(gated, gate, index):
                    found[node.output[0]] = gate
    return found


def is_layer(node: onnx.NodeProto, index: GraphIndex) -> bool:
    """Tells whether a node is a convolution or matrix product with an initializer as its weight."""
    return node.op_type in LAYER_OPS and node.input[1] in index.initializers


def channel_axis(node: onnx.NodeProto) -> int:
    """Returns the axis of the output channels in a layer's weight."""
    if node.op_type == "Conv" or (node.op_type == "Gemm" and attribute(node, "transB", 0)):
        return 0
    return 1


def _require_unique_names(graph: onnx.GraphProto) -> None:
    seen: set[str] = set()
    for node in graph.node:
        if node.name in seen or not node.name:
            what = f"two nodes are named {node.name!r}" if node.name else f"a {node.op_type} node has no name"
            raise QuantizationError(f"{what}; layers are chosen by name, so export the model with unique node names")
        seen.add(node.name)


def _roles_by_node(index: GraphIndex) -> dict[str, Role]:
    """Returns the roles that follow from where a layer stands; a later entry wins."""
    outputs = [index.producers[name] for name in sorted(index.outputs) if name in index.producers]
    classifiers = _nearest_layers(outputs, index)
    before = [index.producers[node.input[0]] for node in classifiers if node.input[0] in index.producers]
    heads = _nearest_layers(before, index, ends=("Add",))
    roles: dict[str, Role] = {}
    for node in index.graph.node:
        if is_layer(node, index) and _reads_graph_input(node, index):
            roles[node.name] = Role.STEM
        elif node.op_type == "Mul":
            roles.update(dict.fromkeys(_gate_layers(node, index), Role.SQUEEZE_EXCITE))
    roles.update({node.name: Role.HEAD for node in heads if node.name not in roles})
    roles.update({node.name: Role.CLASSIFIER for node in classifiers})
    return roles


def _role_by_shape(node: onnx.NodeProto, index: GraphIndex) -> Role:
    weight = index.initializers[node.input[1]]
    depthwise = node.op_type == "Conv" and attribute(node, "group", 1) > 1 and weight.dims[1] == 1
    return Role.DEPTHWISE if depthwise else Role.CONVOLUTION


def _nearest_layers(start: list[onnx.NodeProto], index: GraphIndex, ends: tuple[str, ...] = ()) -> list[onnx.NodeProto]:
    """Walks towards the input from `start` and returns the first layers met; operators in `ends` end a path."""
    found, seen, pending = [], set(), list(start)
    while pending:
        node = pending.pop()
        if node.name in seen:
            continue
        seen.add(node.name)
        if is_layer(node, index):
            found.append(node)
        elif node.op_type not in ends:
            pending += [index.producers[name] for name in node.input if name in index.producers]
    return found


def _reads_graph_input(layer: onnx.NodeProto, index: GraphIndex) -> bool:
    if layer.input[0] in index.inputs:
        return True
    producer = index.producers.get(layer.input[0])
    nearest = _nearest_layers([producer], index) if producer is not None else []
    return not nearest


def _gate_layers(multiplication: onnx.NodeProto, index: GraphIndex) -> list[str]:
    """Returns the layers of a squeeze-and-excitation gate if the multiplication applies one."""
    for gated, gate in (multiplication.input, reversed(multiplication.input)):
        layers = _layers_between_pool_and_gate(gated, gate, index)
        if layers:
            return layers
    return []


def _layers_between_pool_and_gate(gated: str, gate: str, index: GraphIndex) -> list[str]:
    """Walks from the gate to the pooling of the gated tensor; any other way to that tensor disqualifies the gate."""
    layers, seen, pending = [], set(), [gate]
    while pending:
        name = pending.pop()
        node = index.producers.get(name)
        if name == gated or name in index.inputs:
            return []
        if node is None or name in seen:
            continue
        seen.add(name)
        if node.op_type in POOL_OPS:
            if node.input[0] != gated:
                return []
            continue
        if is_layer(node, index):
            layers.append(node.name)
        pending += node.input
    return layers
