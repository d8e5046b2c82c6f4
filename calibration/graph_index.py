"""Look-ups in an ONNX graph: who makes a tensor, who reads it, what its constant value is."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from onnx import helper, numpy_helper

if TYPE_CHECKING:
    import numpy as np
    import onnx
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Use:
    """One place where a tensor is read: input number `index` of `node`."""

    node: onnx.NodeProto
    index: int


class GraphIndex:
    """An index of a graph that is not changed while the index lives."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.graph = graph
        self.initializers: dict[str, onnx.TensorProto] = {tensor.name: tensor for tensor in graph.initializer}

    @cached_property
    def producers(self) -> dict[str, onnx.NodeProto]:
        """Tensor -> the node that makes it; graph inputs and initializers have none."""
        return {output: node for node in self.graph.node for output in node.output if output}

    @cached_property
    def uses(self) -> defaultdict[str, list[Use]]:
        """Tensor -> where it is read, in graph order."""
        found: defaultdict[str, list[Use]] = defaultdict(list)
        for node in self.graph.node:
            for index, name in enumerate(node.input):
                if name:
                    found[name].append(Use(node, index))
        return found

    @cached_property
    def inputs(self) -> frozenset[str]:
        """The graph's inputs that are not initializers."""
        return frozenset(value.name for value in self.graph.input) - self.initializers.keys()

    @cached_property
    def outputs(self) -> frozenset[str]:
        """The graph's outputs."""
        return frozenset(value.name for value in self.graph.output)

    def constant(self, name: str) -> NDArray[np.generic] | None:
        """Returns the value of an initializer or of a `Constant` node, None if the tensor is computed."""
        tensor = self.constant_tensor(name)
        return None if tensor is None else numpy_helper.to_array(tensor)

    def constant_tensor(self, name: str) -> onnx.TensorProto | None:
        """Returns the initializer or `Constant` value of that name, None if the tensor is computed."""
        node = self.producers.get(name)
        if node is not None and node.op_type == "Constant":
            value: onnx.TensorProto | None = attribute(node, "value")
            return value
        return self.initializers.get(name)


def attribute(node: onnx.NodeProto, name: str, default: Any = None) -> Any:
    """Returns the value of a node's attribute, or the default if it is not set."""
    return next((helper.get_attribute_value(item) for item in node.attribute if item.name == name), default)


def default_opset(model: onnx.ModelProto) -> int:
    """Returns the version of ONNX's default operator set that a model asks for, 0 if it asks for none."""
    return next((int(entry.version) for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)
