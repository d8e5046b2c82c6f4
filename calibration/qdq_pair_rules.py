"""Rules about single Q/DQ nodes: zero points, scales, axes, and that each Q has its DQ."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
from onnx import TensorProto

from calibration.graph_index import attribute
from calibration.layers import LAYER_OPS, channel_axis
from calibration.typed_graph import DEQUANTIZE, QUANTIZE, Finding, TypedGraph, type_name

if TYPE_CHECKING:
    import onnx

Rule = Callable[[TypedGraph], Iterator[Finding]]

_FP16_NORMAL = float(np.finfo(np.float16).tiny)
_FP16_OPSET = 19


def zero_points(typed: TypedGraph) -> Iterator[Finding]:
    """Zero points are constant int8 zeros: TensorRT is symmetric and knows no uint8."""
    for node in typed.pair_nodes:
        fault = _zero_point_fault(typed, node)
        if fault:
            yield Finding("zero-point", node.name, f"{fault}; TensorRT quantizes symmetrically to int8")


def stored_types(typed: TypedGraph) -> Iterator[Finding]:
    """What a DequantizeLinear reads is int8; an int32 bias does not parse."""
    for node in typed.pair_nodes:
        found = typed.element_type(node.input[0])
        if node.op_type == DEQUANTIZE and found not in (TensorProto.INT8, TensorProto.UINT8, 0):
            what = "an int32 bias" if found == TensorProto.INT32 else f"a tensor of type {type_name(found)}"
            yield Finding("stored-type", node.name, f"dequantizes {what}; only int8 can be, keep biases float")


def scales(typed: TypedGraph) -> Iterator[Finding]:
    """Scales are constants, finite, positive and, in FP16, not subnormal."""
    for node in typed.pair_nodes:
        scale = typed.scale(node)
        is_fp16 = typed.element_type(node.input[1]) == TensorProto.FLOAT16
        if scale is None:
            yield Finding("scale", node.name, f"its scale {node.input[1]} is computed; it must be a constant")
        elif not np.all(np.isfinite(scale)) or np.any(scale <= 0):
            yield Finding("scale", node.name, f"its scale {node.input[1]} is not positive and finite everywhere")
        elif is_fp16 and np.any(scale < _FP16_NORMAL):
            yield Finding("scale", node.name, f"its FP16 scale {scale.min():.3g} is subnormal")


def scale_types(typed: TypedGraph) -> Iterator[Finding]:
    """FP16 scales need opset 19, and the scale of a QuantizeLinear has the type of its input."""
    for node in typed.pair_nodes:
        scale_type = typed.element_type(node.input[1])
        input_type = typed.element_type(node.input[0])
        if scale_type == TensorProto.FLOAT16 and typed.opset < _FP16_OPSET:
            message = f"has an FP16 scale at opset {typed.opset}; that needs opset {_FP16_OPSET}"
            yield Finding("opset", node.name, message)
        if node.op_type == QUANTIZE and input_type and scale_type != input_type:
            message = f"quantizes {type_name(input_type)} with a scale of type {type_name(scale_type)}; they must agree"
            yield Finding("scale-type", node.name, message)


def granularity(typed: TypedGraph) -> Iterator[Finding]:
    """Activations have one scale; weights have one, or one per output channel on the axis of their layer."""
    for node in typed.pair_nodes:
        scale = typed.scale(node)
        if scale is None or scale.size == 1:
            continue
        if typed.stored_weight(node) is None:
            message = f"has {scale.size} scales for an activation; TensorRT quantizes activations per tensor"
            yield Finding("granularity", node.name, message)
        elif attribute(node, "block_size", 0):
            yield Finding("granularity", node.name, "is quantized in blocks; int8 weights are quantized per channel")
        else:
            yield from _axis_findings(typed, node)


def pairing(typed: TypedGraph) -> Iterator[Finding]:
    """Each QuantizeLinear feeds only DequantizeLinear nodes of the same scale, each of which has an origin."""
    for node in typed.pair_nodes:
        if node.op_type == QUANTIZE:
            yield from _quantizer_findings(typed, node)
        else:
            source = typed.producers.get(node.input[0])
            if typed.constant_tensor(node.input[0]) is None and (source is None or source.op_type != QUANTIZE):
                message = "dequantizes what neither a QuantizeLinear nor a constant made"
                yield Finding("pairing", node.name, message)


PAIR_RULES: tuple[Rule, ...] = (zero_points, stored_types, scales, scale_types, granularity, pairing)


def _zero_point_fault(typed: TypedGraph, node: onnx.NodeProto) -> str:
    if len(node.input) < 3 or not node.input[2]:
        is_int8 = node.op_type == DEQUANTIZE or attribute(node, "output_dtype", 0) == TensorProto.INT8
        return "" if is_int8 else "has no zero point, which means uint8"
    value = typed.constant(node.input[2])
    if value is None:
        return f"its zero point {node.input[2]} is computed"
    if typed.element_type(node.input[2]) == TensorProto.UINT8:
        return "its zero point is uint8, which TensorRT silently reads as int8"
    if np.any(np.asarray(value, dtype=np.float64) != 0):
        return f"its zero point is {np.unique(value)[-1]}, not 0"
    return ""


def _quantizer_findings(typed: TypedGraph, node: onnx.NodeProto) -> Iterator[Finding]:
    uses = typed.uses[node.output[0]]
    strangers = [use.node.name for use in uses if use.node.op_type != DEQUANTIZE]
    if not uses or strangers or node.output[0] in typed.outputs:
        reader = strangers[0] if strangers else "the graph's output or nobody"
        yield Finding("pairing", node.name, f"its result is read by {reader}; only DequantizeLinear may read it")
    own = typed.scale(node)
    for dequantizer in (use.node for use in uses if use.node.op_type == DEQUANTIZE):
        other = typed.scale(dequantizer)
        if own is not None and other is not None and not np.array_equal(own, other):
            yield Finding("pairing", dequantizer.name, f"its scale is not the one of {node.name}")


def _axis_findings(typed: TypedGraph, node: onnx.NodeProto) -> Iterator[Finding]:
    stored = typed.stored_weight(node)
    axis = int(attribute(node, "axis", 1)) % max(len(stored.dims) if stored is not None else 0, 1)
    readers = typed.uses[node.output[0]]
    if node.op_type == QUANTIZE:
        readers = [reader for use in readers for reader in typed.uses[use.node.output[0]]]
    for use in readers:
        if use.node.op_type in LAYER_OPS and use.index == 1 and axis != channel_axis(use.node):
            expected = channel_axis(use.node)
            message = f"has scales along axis {axis}; the output channels of {use.node.name} lie along {expected}"
            yield Finding("axis", node.name, message)
