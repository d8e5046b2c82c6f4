"""A graph that takes pixels: normalization and the way from (N, H, W, 3) to (N, 3, H, W) move into the graph.

The host then sends a quarter of the bytes to the device and cannot normalize them wrongly. The arithmetic is that of
`export.preprocessing`, operation by operation, in FP32 whatever the network computes in.

TensorRT takes uint8 only as an input or output of the network, so the first node that reads it must be a Cast
(onnx-tensorrt, docs/operators.md); a Transpose of uint8 is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from export.contract import INPUT_NAME, InputContract
from export.errors import ContractError
from export.preprocessing import PIXEL_PEAK

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

# In ONNX Runtime, whose arithmetic is IEEE's as NumPy's is, not one bit of the normalized image differs. TensorRT may
# multiply with a reciprocal and fuse the subtraction: four roundings of values below 256, scaled by 1 / std.
NORMALIZED_TOLERANCE = 1e-5
"""Largest difference of a normalized pixel between the graph and `normalized_pixels`, for std of 0.2 and above."""

_PREFIX = f"{INPUT_NAME}/"


def with_uint8_input(model: onnx.ModelProto, contract: InputContract) -> onnx.ModelProto:
    """Returns a model that takes RGB pixels instead of the normalized image; the model given is left alone.

    The nodes of the given graph stay as they are, behind Cast, Transpose, Div, Sub and Div.

    Args:
        model: A graph in any precision whose input `image` is float32 of shape (N, 3, size, size).
        contract: What the graph normalizes with.

    Returns:
        A checked model whose input `image` is uint8 of shape (N, size, size, 3).

    Raises:
        ContractError: The graph's input is not the float32 image of the contract.
    """
    _require_float_image(model.graph, contract)
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    taken = _names(graph)
    normalized = _unused(f"{INPUT_NAME}.normalized", taken)
    nodes, constants = _normalization(contract, normalized, taken)
    for node in graph.node:
        node.input[:] = [normalized if name == INPUT_NAME else name for name in node.input]
    behind = [onnx.NodeProto.FromString(node.SerializeToString()) for node in graph.node]
    del graph.node[:]
    graph.node.extend([*nodes, *behind])
    graph.initializer.extend(constants)
    shape = graph.input[0].type.tensor_type.shape
    channels, height, width = (onnx.TensorShapeProto.Dimension.FromString(d.SerializeToString()) for d in shape.dim[1:])
    del shape.dim[1:]
    shape.dim.extend([height, width, channels])
    graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8
    inferred = onnx.shape_inference.infer_shapes(result, check_type=True, strict_mode=True)
    onnx.checker.check_model(inferred, full_check=True)
    return inferred


def takes_uint8(model: onnx.ModelProto) -> bool:
    """Tells whether a graph takes pixels and normalizes by itself."""
    image = next((value for value in model.graph.input if value.name == INPUT_NAME), None)
    return image is not None and image.type.tensor_type.elem_type == TensorProto.UINT8


def _normalization(
    contract: InputContract, output: str, taken: set[str]
) -> tuple[list[onnx.NodeProto], list[TensorProto]]:
    """Returns the nodes from pixels to the normalized image, and their constants."""
    per_channel = (1, 3, 1, 1)
    peak = _constant(f"{INPUT_NAME}.peak", PIXEL_PEAK, (), taken)
    mean = _constant(f"{INPUT_NAME}.mean", contract.mean, per_channel, taken)
    std = _constant(f"{INPUT_NAME}.std", contract.std, per_channel, taken)
    nodes = []
    source = INPUT_NAME
    for op_type, others, attributes in (
        ("Cast", [], {"to": TensorProto.FLOAT}),
        ("Transpose", [], {"perm": [0, 3, 1, 2]}),
        ("Div", [peak.name], {}),
        ("Sub", [mean.name], {}),
        ("Div", [std.name], {}),
    ):
        name = _unused(f"{_PREFIX}{op_type}", taken)
        result = output if others == [std.name] else _unused(f"{name}.out", taken)
        nodes.append(helper.make_node(op_type, [source, *others], [result], name=name, **attributes))
        source = result
    return nodes, [peak, mean, std]


def _constant(name: str, values: ArrayLike, shape: tuple[int, ...], taken: set[str]) -> TensorProto:
    return numpy_helper.from_array(np.asarray(values, np.float32).reshape(shape), _unused(name, taken))


def _names(graph: onnx.GraphProto) -> set[str]:
    """Names of nodes and tensors, of which a graph may have only one each."""
    tensors = {name for node in graph.node for name in (*node.input, *node.output)}
    return tensors | {node.name for node in graph.node} | {tensor.name for tensor in graph.initializer}


def _unused(name: str, taken: set[str]) -> str:
    """Returns the name, numbered if it is taken, and takes it."""
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name}_{number}"
    taken.add(free)
    return free


def _require_float_image(graph: onnx.GraphProto, contract: InputContract) -> None:
    expected = f"float32 {INPUT_NAME} of shape (N, 3, {contract.size}, {contract.size})"
    weights = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in weights]
    if len(inputs) != 1 or inputs[0].name != INPUT_NAME or graph.input[0].name != INPUT_NAME:
        names = ", ".join(value.name for value in inputs) or "nothing"
        raise ContractError(f"the graph takes {names}; expected one {expected}, so export it with export-onnx")
    tensor = inputs[0].type.tensor_type
    kind = str(TensorProto.DataType.Name(tensor.elem_type)).lower()
    shape = tuple(dimension.dim_value or dimension.dim_param or "?" for dimension in tensor.shape.dim)
    if tensor.elem_type == TensorProto.UINT8:
        raise ContractError(f"the graph takes uint8 already, shape {shape}; expected {expected}, so use it as it is")
    if tensor.elem_type != TensorProto.FLOAT or shape[1:] != (3, contract.size, contract.size):
        raise ContractError(
            f"the graph takes {kind} of shape {shape}; expected {expected}, so check size in model.toml"
        )
