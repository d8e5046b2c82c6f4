"""A Q/DQ graph with the element type of every tensor, and what a rule finds in it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from onnx import TensorProto

from calibration.graph_index import GraphIndex, attribute, default_opset

if TYPE_CHECKING:
    from collections.abc import Iterator

    import onnx
    from numpy.typing import NDArray

QUANTIZE = "QuantizeLinear"
DEQUANTIZE = "DequantizeLinear"
PAIR_OPS = frozenset({QUANTIZE, DEQUANTIZE})


@dataclass(frozen=True)
class Finding:
    """One fault of a Q/DQ graph.

    Attributes:
        rule: Short name of the rule that was broken.
        node: Name of the node at fault.
        message: What was found and what TensorRT expects.
    """

    rule: str
    node: str
    message: str


class TypedGraph(GraphIndex):
    """A graph index that also knows element types and what is behind a DequantizeLinear."""

    def __init__(self, model: onnx.ModelProto) -> None:
        super().__init__(model.graph)
        self._model = model

    @property
    def opset(self) -> int:
        """Version of the default operator set."""
        return default_opset(self._model)

    @property
    def pair_nodes(self) -> Iterator[onnx.NodeProto]:
        """Every QuantizeLinear and DequantizeLinear, in graph order."""
        return (node for node in self.graph.node if node.op_type in PAIR_OPS)

    def element_type(self, name: str) -> int:
        """Returns the ONNX element type of a tensor, 0 if it cannot be told."""
        return self._type(name, self._types)

    def scale(self, node: onnx.NodeProto) -> NDArray[np.float64] | None:
        """Returns the scale of a Q or DQ node, None if it is not constant."""
        value = self.constant(node.input[1])
        return None if value is None else np.asarray(value, dtype=np.float64)

    def dequantizer(self, name: str) -> onnx.NodeProto | None:
        """Returns the DequantizeLinear that makes a tensor, None if another node does."""
        node = self.producers.get(name)
        return node if node is not None and node.op_type == DEQUANTIZE else None

    def stored_weight(self, node: onnx.NodeProto) -> onnx.TensorProto | None:
        """Returns the constant that a Q or DQ node works on, directly or after a QuantizeLinear, None if computed."""
        source = self.producers.get(node.input[0])
        if source is not None and source.op_type == QUANTIZE:
            return self.constant_tensor(source.input[0])
        return self.constant_tensor(node.input[0])

    @cached_property
    def _types(self) -> dict[str, int]:
        """Element types of computed tensors.

        ONNX's own inference gives up on the malformed graphs that a linter is for. Here a cast and a Q/DQ node decide
        by themselves; any other output has its declared type, or else that of the first input.
        """
        values = [*self.graph.input, *self.graph.value_info, *self.graph.output]
        types = {value.name: int(value.type.tensor_type.elem_type) for value in values}
        for node in self.graph.node:
            for output in node.output:
                first = node.input[0] if node.input else ""
                types[output] = self._decided_type(node) or types.get(output) or self._type(first, types)
        return types

    def _decided_type(self, node: onnx.NodeProto) -> int:
        if node.op_type == "Cast":
            return int(attribute(node, "to"))
        if node.op_type == DEQUANTIZE:
            return self._type(node.input[1], {})
        if node.op_type == QUANTIZE and len(node.input) > 2:
            return self._type(node.input[2], {})
        return int(attribute(node, "output_dtype", 0)) or (TensorProto.UINT8 if node.op_type == QUANTIZE else 0)

    def _type(self, name: str, types: dict[str, int]) -> int:
        constant = self.constant_tensor(name)
        return types.get(name, 0) if constant is None else int(constant.data_type)


def type_name(element_type: int) -> str:
    """Returns `FLOAT16` for 10 and so on."""
    return str(TensorProto.DataType.Name(element_type))
