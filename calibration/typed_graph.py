"""A Q/DQ graph with the element type of every tensor, and what a rule finds in it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import onnx

from calibration.graph_index import GraphIndex

if TYPE_CHECKING:
    from collections.abc import Iterator

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
        return next((entry.version for entry in self._model.opset_import if entry.domain in ("", "ai.onnx")), 0)

    @property
    def pair_nodes(self) -> Iterator[onnx.NodeProto]:
        """Every QuantizeLinear and DequantizeLinear, in graph order."""
        return (node for node in self.graph.node if node.op_type in PAIR_OPS)

    def element_type(self, name: str) -> int:
        """Returns the ONNX element type of a tensor, 0 if it cannot be told."""
        constant = self.constant_tensor(name)
        return constant.data_type if constant is not None else self._inferred.get(name, 0)

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
    def _inferred(self) -> dict[str, int]:
        inferred = onnx.shape_inference.infer_shapes(self._model).graph
        values = [*inferred.input, *inferred.value_info, *inferred.output]
        return {value.name: value.type.tensor_type.elem_type for value in values}


def type_name(element_type: int) -> str:
    """Returns `FLOAT16` for 10 and so on."""
    return str(onnx.TensorProto.DataType.Name(element_type))
