"""In what precision the layers of an engine compute: what the graph demands, and what a built engine says of itself."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from onnx import TensorProto, helper

from calibration.typed_graph import TypedGraph

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import onnx

LayerPrecision: TypeAlias = Literal["INT8", "INT8 weights", "FP16", "FP32"]

LAYER_PRECISIONS: tuple[LayerPrecision, ...] = ("INT8", "INT8 weights", "FP16", "FP32")
LAYER_OPS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
_FLOATS: Mapping[int, LayerPrecision] = {TensorProto.FLOAT16: "FP16", TensorProto.FLOAT: "FP32"}

# LayerType of convolutions and matrix products: CaskConvolution, CaskConvActPool, CaskDeconvolution, CudnnConvolution,
# MatrixMultiply, CaskGemmMatrixMultiply, FullyConnected; Myelin's own are gemm and, for a convolution, correlation.
_LAYER_TYPE = re.compile(r"conv|gemm|matrix|matmul|fullyconnected|correlation", re.IGNORECASE)
_OPAQUE_TYPES = frozenset({"Myelin", "ForeignNode"})
# Words for a type in "Channel major FP16 format where channel % 8 == 0", "Row major linear FP32", "Half" and the like.
_TYPE_WORDS: Mapping[str, LayerPrecision] = {
    "int8": "INT8",
    "fp16": "FP16",
    "half": "FP16",
    "fp32": "FP32",
    "float": "FP32",
    "tf32": "FP32",
}
# TensorRT 8.6 and 10 have one field for both; 11 has two. Format alone still names the type in most formats.
_TYPE_FIELDS = ("Datatype", "DataType", "Format/Datatype", "Format/DataType", "Format")


def precisions_of_graph(model: onnx.ModelProto) -> dict[str, Any]:
    """Counts convolutions and matrix products by the arithmetic that a strongly typed graph demands.

    Returns:
        `source`, which is `graph`, and `layers`, the count for each of LAYER_PRECISIONS. A head that `without_gemm`
        rewrote has no matrix product and is not counted.
    """
    graph = TypedGraph(model)
    found = (layer_precision(node, graph) for node in model.graph.node if node.op_type in LAYER_OPS)
    return {"source": "graph", "layers": _counts(found)}


def layer_precision(node: onnx.NodeProto, graph: TypedGraph) -> LayerPrecision | None:
    """Returns what a layer computes in, None if it is not a known kind of number.

    It is INT8 where data and weight both come from a DequantizeLinear, which TensorRT fuses into the layer. With the
    weight alone it computes in floating point; INT8 is then only how the weight is stored.
    """
    if _is_dequantized(node.input[1], graph):
        return "INT8" if _is_dequantized(node.input[0], graph) else "INT8 weights"
    return float_precision(node, graph)


def float_precision(node: onnx.NodeProto, graph: TypedGraph) -> LayerPrecision | None:
    """Returns the floating-point type of a node's first output, None if that is no floating-point number."""
    return _FLOATS.get(graph.element_type(node.output[0]))


def precisions_from_inspector(text: str) -> dict[str, Any] | None:
    """Counts convolutions and matrix products by what a built engine says of them.

    Args:
        text: JSON of TensorRT's engine inspector for the whole engine, 8.6 to 11. The engine must have been built with
            DETAILED profiling verbosity, and the inspector needs an execution context with its input shapes set: before
            that, the types of a dynamic network are not told.

    Returns:
        `source`, which is `inspector`, `layers` as in `precisions_of_graph`, and `opaque`, the number of layers that
        were compiled as a whole (Myelin) and hide what they compute, if there are any. None if not one layer can be
        counted, or the type of one is not told: what the graph demands is the better source then.
    """
    try:
        layers = json.loads(text).get("Layers", [])
    except (ValueError, AttributeError):
        return None
    told = [layer for layer in layers if isinstance(layer, dict)]
    opaque = sum(layer.get("LayerType") in _OPAQUE_TYPES for layer in told)
    found = [_precision_told(layer) for layer in told if _LAYER_TYPE.search(str(layer.get("LayerType", "")))]
    if not found or None in found or len(told) < len(layers):
        return None
    return {"source": "inspector", "layers": _counts(found), **({"opaque": opaque} if opaque else {})}


def weights_bytes(model: onnx.ModelProto) -> int:
    """Returns how many bytes a graph's constants take, in the types that they are stored in."""
    constants = [tensor for node in model.graph.node if node.op_type == "Constant" for tensor in _values(node)]
    return sum(_bytes(tensor) for tensor in [*model.graph.initializer, *constants])


def _is_dequantized(name: str, graph: TypedGraph) -> bool:
    return graph.dequantizer(name) is not None


def _counts(found: Iterable[LayerPrecision | None]) -> dict[str, int]:
    counted = Counter(found)
    return {name: counted[name] for name in LAYER_PRECISIONS}


def _precision_told(layer: Mapping[str, Any]) -> LayerPrecision | None:
    """Returns the precision of an inspected layer: that of the data it reads."""
    data = _type_told((layer.get("Inputs") or [{}])[0])
    weights = layer.get("Weights")
    stored = _TYPE_WORDS.get(str(weights.get("Type", "")).lower()) if isinstance(weights, dict) else None
    return "INT8 weights" if stored == "INT8" and data in ("FP16", "FP32") else data


def _type_told(tensor: Mapping[str, Any]) -> LayerPrecision | None:
    for field in _TYPE_FIELDS:
        for word in re.findall(r"[a-z]+[0-9]*", str(tensor.get(field, "")).lower()):
            if word in _TYPE_WORDS:
                return _TYPE_WORDS[word]
    return None


def _values(node: onnx.NodeProto) -> list[onnx.TensorProto]:
    return [attribute.t for attribute in node.attribute if attribute.name == "value"]


def _bytes(tensor: onnx.TensorProto) -> int:
    return int(math.prod(tensor.dims) * helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize)
