"""The residual additions of a float graph, and which of their inputs is the identity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from calibration.graph_index import GraphIndex
from calibration.layers import is_layer

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True)
class Residual:
    """An addition that closes a residual branch.

    Attributes:
        node: Name of the Add.
        input_index: Which of its inputs is the identity.
        tensor: The tensor there.
        branch_layer: The layer whose output arrives at the other input.
    """

    node: str
    input_index: int
    tensor: str
    branch_layer: str


def residuals_from_graph(graph: onnx.GraphProto) -> tuple[Residual, ...]:
    """Finds additions `layer(...) + identity`; the identity is the input that fewer layers lead to."""
    index = GraphIndex(graph)
    depth = _depths(index)
    found = []
    for node in graph.node:
        if node.op_type != "Add" or any(name not in index.producers for name in node.input):
            continue
        first, second = (depth[name] for name in node.input)
        identity = 0 if first < second else 1
        branch = index.producers[node.input[1 - identity]]
        if first != second and is_layer(branch, index):
            found.append(Residual(node.name, identity, node.input[identity], branch.name))
    return tuple(found)


def _depths(index: GraphIndex) -> dict[str, int]:
    """Returns the largest number of layers on a path from the input to each tensor."""
    depth: dict[str, int] = {}
    for node in index.graph.node:
        before = max((depth.get(name, 0) for name in node.input), default=0)
        depth.update(dict.fromkeys(node.output, before + is_layer(node, index)))
    return depth
