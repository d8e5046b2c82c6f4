"""What an FP32 graph holds and computes: parameters, zeros among its weights, multiplications."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import numpy_helper, shape_inference

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_LAYERS = ("Conv", "Gemm", "MatMul")


def size_of_graph(path: Path) -> Mapping[str, Any]:
    """Counts parameters, weights of convolutions and linear layers, zeros among those, and MACs of one image."""
    graph = _at_batch_one(onnx.load(path)).graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    layers = [node for node in graph.node if node.op_type in _LAYERS and node.input[1] in constants]
    weights = {node.input[1]: numpy_helper.to_array(constants[node.input[1]]) for node in layers}
    return {
        "parameters": sum(prod(t.dims) for t in constants.values() if t.data_type == onnx.TensorProto.FLOAT),
        "layer_weights": sum(weight.size for weight in weights.values()),
        "zeros": sum(int(np.count_nonzero(weight == 0)) for weight in weights.values()),
        "macs": _macs(graph, layers, {name: weight.shape for name, weight in weights.items()}),
    }


def _macs(graph: onnx.GraphProto, layers: list[onnx.NodeProto], weight_shapes: Mapping[str, tuple[int, ...]]) -> int:
    """Returns the multiplications: each output of a layer takes one for every weight that leads to it."""
    shapes = {
        value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*graph.value_info, *graph.output)
    }
    return sum(prod(shapes[node.output[0]]) * _fan_in(node, weight_shapes[node.input[1]]) for node in layers)


def _fan_in(node: onnx.NodeProto, shape: tuple[int, ...]) -> int:
    if node.op_type == "Conv":
        return prod(shape[1:])
    transposed = any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
    return shape[1] if transposed else shape[-2]


def _at_batch_one(model: onnx.ModelProto) -> onnx.ModelProto:
    """Returns the graph for one image with the shapes of all its tensors."""
    del model.graph.value_info[:]
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    return shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
