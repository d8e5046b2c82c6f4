"""Operators as opset 17 spells them, and which of them TensorRT 8.6 imports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from export.errors import BackendError

if TYPE_CHECKING:
    from calibration.typed_graph import TypedGraph

OPSET = 17
# Those that a detector's graph may hold; the parser of 8.6.0 has an importer for each.
SUPPORTED_OPS = frozenset(
    {
        *("Add", "AveragePool", "Cast", "Clip", "Concat", "Constant", "Conv", "ConvTranspose", "DequantizeLinear"),
        *("Div", "Elu", "Exp", "Flatten", "Gemm", "GlobalAveragePool", "GlobalMaxPool", "HardSigmoid", "HardSwish"),
        *("Identity", "LeakyRelu", "MatMul", "MaxPool", "Mul", "Pow", "QuantizeLinear", "ReduceMax", "ReduceMean"),
        *("ReduceSum", "Relu", "Reshape", "Sigmoid", "Softplus", "Sqrt", "Squeeze", "Sub", "Tanh", "Transpose"),
        "Unsqueeze",
    }
)
# Reductions whose axes became an input only after opset 17.
_AXES_AS_ATTRIBUTE = frozenset({"ReduceMax", "ReduceMean"})


def in_fp32(tensor: TensorProto) -> TensorProto:
    """Returns a constant; FP16 numbers become the equal FP32 ones."""
    if tensor.data_type == TensorProto.FLOAT16:
        return numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name)
    copy = TensorProto()
    copy.CopyFrom(tensor)
    return copy


def respell(copy: onnx.NodeProto, node: onnx.NodeProto, graph: TypedGraph) -> None:
    """Changes a copy of a node to what opset 17 calls it.

    Args:
        copy: The copy, which is changed.
        node: The node, in the operator set of the graph.
        graph: Where it stands.

    Raises:
        BackendError: Opset 17 or TensorRT 8.6 has no equal.
    """
    if node.op_type not in SUPPORTED_OPS or node.domain not in ("", "ai.onnx"):
        raise BackendError(
            f"node {node.name} is a {node.op_type}, which this release cannot give to TensorRT 8.6; build with "
            "TensorRT 10 or later"
        )
    if node.op_type in _AXES_AS_ATTRIBUTE and len(node.input) > 1:
        _axes_to_attribute(copy, node, graph)
    schema = onnx.defs.get_schema(node.op_type, OPSET)
    newer = onnx.defs.get_schema(node.op_type, graph.opset)
    kept = []
    for item in copy.attribute:
        if item.name in schema.attributes:
            kept.append(item)
        elif not _says_nothing(item, newer.attributes[item.name].default_value):
            raise BackendError(
                f"node {node.name} is a {node.op_type} with {item.name}, which opset {OPSET} does not have; build with "
                "TensorRT 10 or later"
            )
    kept = [onnx.AttributeProto.FromString(item.SerializeToString()) for item in kept]
    for item in kept:
        if item.HasField("t"):
            item.t.CopyFrom(in_fp32(item.t))
    del copy.attribute[:]
    copy.attribute.extend(kept)


def _says_nothing(item: onnx.AttributeProto, default: onnx.AttributeProto) -> bool:
    """Tells whether an attribute has its default value, which for dilations the schema says in words only."""
    value: Any = helper.get_attribute_value(item)
    if item.name == "dilations":
        return set(value) == {1}
    return bool(default.type) and bool(value == helper.get_attribute_value(default))


def _axes_to_attribute(copy: onnx.NodeProto, node: onnx.NodeProto, graph: TypedGraph) -> None:
    axes = graph.constant(node.input[1])
    if axes is None or not axes.size:
        raise BackendError(
            f"node {node.name} reduces over axes that are computed or none; expected constant axes, so export again"
        )
    del copy.input[1:]
    kept = [item for item in node.attribute if item.name != "noop_with_empty_axes"]
    del copy.attribute[:]
    copy.attribute.extend([*kept, helper.make_attribute("axes", [int(axis) for axis in axes.reshape(-1)])])
