"""FP32 matrix products as multiplications and sums, for devices on which TensorRT for RTX has no FP32 matrix product.

On Turing (SM 7.5) it fails with "FP32 GEMM is not supported" (1.7.1), while our classifier computes in FP32 by design.
A logit is a weighted sum of the pooled features: Mul, ReduceSum and Add give it in the same precision.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from calibration.graph_index import attribute
from calibration.typed_graph import TypedGraph
from export.errors import BackendError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def without_gemm(model: onnx.ModelProto) -> onnx.ModelProto:
    """Replaces every FP32 Gemm by Mul, ReduceSum and Add; the model given is left alone.

    A Gemm in FP16 or INT8 stays. The products are summed in another order, so that a result may differ by FP32
    rounding. Where a Gemm has more than one output, an Unsqueeze goes before the Mul. A weight that is stored the other
    way round is transposed here, not at run time.

    Args:
        model: A graph of opset 13 or later, nodes in topological order.

    Returns:
        A checked model without FP32 Gemm; the last node of each replacement has the Gemm's name and output.

    Raises:
        BackendError: A Gemm scales its terms, transposes its data, or has a weight or bias that is computed.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    index = TypedGraph(result)
    nodes: list[onnx.NodeProto] = []
    constants: dict[str, TensorProto] = {}
    for node in graph.node:
        if node.op_type == "Gemm" and index.element_type(node.output[0]) == TensorProto.FLOAT:
            replacement, made = _sum_of_products(node, index)
            nodes += replacement
            constants.update((tensor.name, tensor) for tensor in made)
        else:
            nodes.append(onnx.NodeProto.FromString(node.SerializeToString()))
    used = {name for node in nodes for name in node.input} | {value.name for value in graph.output}
    kept = [TensorProto.FromString(tensor.SerializeToString()) for tensor in graph.initializer if tensor.name in used]
    del graph.node[:]
    graph.node.extend(nodes)
    del graph.initializer[:]
    graph.initializer.extend([*kept, *constants.values()])
    described = [onnx.ValueInfoProto.FromString(v.SerializeToString()) for v in graph.value_info if v.name in used]
    del graph.value_info[:]
    graph.value_info.extend(described)
    onnx.checker.check_model(result, full_check=True)
    return result


def _sum_of_products(node: onnx.NodeProto, index: TypedGraph) -> tuple[list[onnx.NodeProto], list[TensorProto]]:
    """Returns what stands for a Gemm, and the constants that it needs."""
    weight = _rows_by_output(node, index)
    bias = _bias(node, index, len(weight))
    name, output = node.name, node.output[0]
    terms, total, axes = f"{name}/terms", f"{name}/total", f"{name}/axes"
    constants = [numpy_helper.from_array(np.array([-1], np.int64), axes)]
    nodes = []
    features = node.input[0]
    if len(weight) > 1:  # (N, features) against (outputs, features): one row of features for all outputs
        features, row_axis = f"{name}/row", f"{name}/row.axis"
        constants.append(numpy_helper.from_array(np.array([1], np.int64), row_axis))
        nodes.append(helper.make_node("Unsqueeze", [node.input[0], row_axis], [features], name=f"{name}/Unsqueeze"))
    rows = f"{name}/rows"
    constants.append(numpy_helper.from_array(weight, rows))
    # With one output the sum keeps its axis, which is then that of the only output.
    keep = int(len(weight) == 1)
    summed = output if bias is None else total
    nodes += [
        helper.make_node("Mul", [features, rows], [terms], name=f"{name}/Mul"),
        helper.make_node("ReduceSum", [terms, axes], [summed], name=f"{name}/ReduceSum", keepdims=keep),
    ]
    if bias is not None:
        constants.append(numpy_helper.from_array(bias, f"{name}/bias"))
        nodes.append(helper.make_node("Add", [total, f"{name}/bias"], [output], name=f"{name}/Add"))
    nodes[-1].name = name
    return nodes, constants


def _rows_by_output(node: onnx.NodeProto, index: TypedGraph) -> NDArray[np.float32]:
    """Returns the weight with one contiguous row per output."""
    scaled = attribute(node, "alpha", 1.0) != 1.0 or attribute(node, "beta", 1.0) != 1.0
    if scaled or attribute(node, "transA", 0):
        raise BackendError(
            f"Gemm {node.name} scales its terms or transposes its data; expected alpha = beta = 1 and transA = 0 as in "
            "a classifier, so build for another compute capability than 7.5"
        )
    weight = index.constant(node.input[1])
    if weight is None:
        raise BackendError(
            f"the weight of Gemm {node.name} is computed or quantized; expected a constant, so keep the classifier in "
            "floating point or build for another compute capability than 7.5"
        )
    rows = weight if attribute(node, "transB", 0) else weight.T
    return np.ascontiguousarray(rows, dtype=np.float32)


def _bias(node: onnx.NodeProto, index: TypedGraph, outputs: int) -> NDArray[np.float32] | None:
    """Returns the bias, one number per output, None if there is none."""
    if len(node.input) < 3 or not node.input[2]:
        return None
    bias = index.constant(node.input[2])
    if bias is None or bias.size not in (1, outputs):
        raise BackendError(
            f"the bias of Gemm {node.name} is not one constant per output; expected {outputs} numbers, so build for "
            "another compute capability than 7.5"
        )
    return np.broadcast_to(bias.reshape(-1), (outputs,)).astype(np.float32)
