"""Rules about where Q/DQ pairs stand: around layers and residual inputs, never inside what TensorRT fuses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnx import TensorProto

from calibration.layers import LAYER_OPS
from calibration.typed_graph import PAIR_OPS, QUANTIZE, Finding, TypedGraph, type_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    import onnx

    from calibration.qdq_pair_rules import Rule

_INTEGER_OPS = frozenset({"ConvInteger", "MatMulInteger", "DynamicQuantizeLinear"})
_ACTIVATION_OPS = frozenset(
    {"Clip", "Elu", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu", "PRelu", "Relu", "Sigmoid", "Swish", "Tanh"}
)
_FLOAT_TYPES = frozenset({TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE})


def integer_operators(typed: TypedGraph) -> Iterator[Finding]:
    """Explicit quantization is Q/DQ around float operators; TensorRT has no integer operators of ONNX."""
    for node in typed.graph.node:
        if node.op_type in _INTEGER_OPS or node.op_type.startswith("QLinear"):
            yield Finding("operator", node.name, f"is a {node.op_type}, which TensorRT does not know")


def fused_activations(typed: TypedGraph) -> Iterator[Finding]:
    """No pair between a layer and its activation nor inside the activation, which are one kernel with the layer."""
    for node in typed.graph.node:
        dequantizers = [found for name in node.input if (found := typed.dequantizer(name)) is not None]
        if not dequantizers:
            continue
        activates_layer = node.op_type in _ACTIVATION_OPS and _is_layer_output(typed, dequantizers[0])
        if activates_layer or (node.op_type == "Mul" and _closes_silu(typed, node)):
            message = f"stands before {node.name}; a pair between a layer and its activation prevents their fusion"
            yield Finding("activation", dequantizers[0].name, message)


def residual_additions(typed: TypedGraph) -> Iterator[Finding]:
    """At most one input of an addition is quantized: the identity, so that the other one fuses with its layer."""
    for node in typed.graph.node:
        if node.op_type == "Add" and all(typed.dequantizer(name) is not None for name in node.input):
            message = "both of its inputs are quantized, which splits the fusion with the layer before it"
            yield Finding("residual", node.name, message)


def whole_layers(typed: TypedGraph) -> Iterator[Finding]:
    """A layer whose activation is quantized has a quantized weight and a float bias.

    The reverse is allowed: a weight stored as INT8 whose layer computes in floating point.
    """
    for node in typed.graph.node:
        if node.op_type not in LAYER_OPS:
            continue
        activation, weight = (typed.dequantizer(name) is not None for name in node.input[:2])
        if activation and not weight:
            yield Finding("half-quantized", node.name, "its weight is float while its activation is int8")
        if any(typed.dequantizer(name) is not None for name in node.input[2:]):
            yield Finding("half-quantized", node.name, "its bias is quantized; TensorRT wants a float bias")


def operand_types(typed: TypedGraph) -> Iterator[Finding]:
    """A DequantizeLinear yields the type of its scale, which must be that of the other operands, without a Cast."""
    for node in typed.graph.node:
        dequantizer = next((found for name in node.input if (found := typed.dequantizer(name)) is not None), None)
        if dequantizer is None or node.op_type in PAIR_OPS:
            continue
        if node.op_type == "Cast":
            message = f"a Cast ({node.name}) reads it, which hides the pair from the layer behind"
            yield Finding("operand-type", dequantizer.name, message)
            continue
        types = {typed.element_type(name) for name in node.input if name} & _FLOAT_TYPES
        if len(types) > 1:
            names = " and ".join(type_name(found) for found in sorted(types))
            yield Finding("operand-type", node.name, f"reads {names}, one of them dequantized; TensorRT wants one type")


PLACE_RULES: tuple[Rule, ...] = (
    integer_operators,
    fused_activations,
    residual_additions,
    whole_layers,
    operand_types,
)


def _origin(typed: TypedGraph, name: str) -> str:
    """Returns the tensor before a Q/DQ pair, or the tensor itself if it comes from elsewhere."""
    dequantizer = typed.dequantizer(name)
    quantizer = typed.producers.get(dequantizer.input[0]) if dequantizer is not None else None
    return quantizer.input[0] if quantizer is not None and quantizer.op_type == QUANTIZE else name


def _is_layer_output(typed: TypedGraph, dequantizer: onnx.NodeProto) -> bool:
    producer = typed.producers.get(_origin(typed, dequantizer.output[0]))
    return producer is not None and producer.op_type in LAYER_OPS


def _closes_silu(typed: TypedGraph, multiplication: onnx.NodeProto) -> bool:
    """Tells whether a Mul computes x * sigmoid(x), looking through Q/DQ pairs."""
    origins = [_origin(typed, name) for name in multiplication.input]
    for value, gate in (origins, reversed(origins)):
        sigmoid = typed.producers.get(gate)
        if sigmoid is not None and sigmoid.op_type == "Sigmoid" and _origin(typed, sigmoid.input[0]) == value:
            return True
    return False
