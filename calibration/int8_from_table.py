"""FP32 ONNX + calibration table + placement -> ONNX with explicit INT8 Q/DQ pairs.

Everything is symmetric (zero point 0): activations with one scale per tensor, weights with one per output channel and
stored as INT8. Scales are FP16 numbers from the start, so that the later conversion of the float rest to FP16 alters
neither a scale nor a weight.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from calibration.errors import QuantizationError
from calibration.graph_index import default_opset
from calibration.ranges import LEVELS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from calibration.placement import Placement, QuantizedLayer, QuantizedTensor
    from calibration.table import CalibrationTable

METADATA_KEY = "signoff.quantization"
ZERO_POINT = "int8.zero_point"
SMALLEST_OPSET = 19
SMALLEST_SCALE = 2.0**-14
LARGEST_SCALE = float(np.finfo(np.float16).max)


@dataclass(frozen=True)
class Int8Weight:
    """A weight as it is stored.

    Attributes:
        values: int8 steps in -127..127, of the weight's shape.
        scale: float32 size of a step for each output channel, (channels,); every one is an FP16 number.
        channel_axis: Axis of the output channels.
    """

    values: NDArray[np.int8]
    scale: NDArray[np.float32]
    channel_axis: int

    @property
    def restored(self) -> NDArray[np.float32]:
        """The weight that a DequantizeLinear makes of it."""
        shape = [-1 if axis == self.channel_axis else 1 for axis in range(self.values.ndim)]
        product: NDArray[np.float32] = self.values * self.scale.reshape(shape)
        return product


def int8_from_fp32(
    model: onnx.ModelProto,
    table: CalibrationTable,
    placement: Placement,
    onnx_sha256: str,
    weights: Mapping[str, Int8Weight] | None = None,
) -> onnx.ModelProto:
    """Inserts Q/DQ pairs; the model given is left alone, and equal arguments give equal bytes.

    Args:
        model: The FP32 graph, nodes in topological order.
        table: Ranges of the placement's tensors.
        placement: Where the pairs go.
        onnx_sha256: Digest of the file that `model` was read from.
        weights: Layer -> its weight, already rounded; others are rounded to the nearest step.

    Returns:
        A checked model whose float part is FP32 and whose metadata say what was quantized.

    Raises:
        CalibrationError: The table belongs to another file or lacks a tensor.
        QuantizationError: The opset is too old for FP16 scales, or a range is too large for one.
    """
    table.require_for(onnx_sha256)
    _require_opset(model)
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    floats = {tensor.name: tensor for tensor in graph.initializer}
    known = weights or {}
    pairs = [_ActivationPair(activation, table.amax(activation.tensor)) for activation in placement.activations]
    stored = [
        _StoredWeight(
            layer,
            known.get(layer.name) or quantized_weight(numpy_helper.to_array(floats[layer.weight]), layer.channel_axis),
        )
        for layer in (*placement.layers, *placement.weight_only)
    ]
    _redirect(graph, pairs, stored)
    _insert_nodes(graph, pairs, stored)
    _replace_initializers(graph, pairs, stored)
    _add_metadata(result, table, placement)
    onnx.checker.check_model(result, full_check=True)
    return result


def without_inferred_shapes(model: onnx.ModelProto) -> onnx.ModelProto:
    """Returns a model without the shapes and types that every reader infers: a tenth of a MiB of a B5."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    del result.graph.value_info[:]
    return result


def scale_from_amax(amax: NDArray[np.float32] | float) -> NDArray[np.float32]:
    """Returns the scale of a symmetric INT8 range: amax / 127 rounded to a normal FP16 number, as float32.

    Raises:
        QuantizationError: The range is not finite or exceeds what FP16 scales can express.
    """
    exact = np.asarray(amax, dtype=np.float64) / LEVELS
    if not np.all(exact <= LARGEST_SCALE):
        raise QuantizationError(
            f"a range reaches {float(np.max(exact)) * LEVELS:.3g}, beyond what an FP16 scale can express; "
            "check the FP32 model, its values explode"
        )
    return np.maximum(exact, SMALLEST_SCALE).astype(np.float16).astype(np.float32)


def quantized_weight(weight: NDArray[np.float32], channel_axis: int) -> Int8Weight:
    """Quantizes a weight with one scale per output channel, which spans the channel's largest magnitude."""
    others = tuple(axis for axis in range(weight.ndim) if axis != channel_axis)
    scale = scale_from_amax(np.abs(weight).max(axis=others))
    shape = [-1 if axis == channel_axis else 1 for axis in range(weight.ndim)]
    values = np.clip(np.rint(weight / scale.reshape(shape)), -LEVELS, LEVELS).astype(np.int8)
    return Int8Weight(values, scale, channel_axis)


class _ActivationPair:
    """Names, nodes and constants of the pair of one activation."""

    def __init__(self, activation: QuantizedTensor, amax: float) -> None:
        self.activation = activation
        self.tensor = activation.tensor
        self.output = f"{self.tensor}.dq"
        scale, quantized = f"{self.tensor}.scale", f"{self.tensor}.q"
        self.initializers = [numpy_helper.from_array(scale_from_amax(amax), scale)]
        # Without a zero point a QuantizeLinear would yield uint8; a DequantizeLinear takes the type of what it reads.
        self.nodes = [
            helper.make_node("QuantizeLinear", [self.tensor, scale, ZERO_POINT], [quantized], name=f"{self.tensor}/Q"),
            helper.make_node("DequantizeLinear", [quantized, scale], [self.output], name=f"{self.tensor}/DQ"),
        ]


class _StoredWeight:
    """Names, node and constants of one weight stored as INT8."""

    def __init__(self, layer: QuantizedLayer, weight: Int8Weight) -> None:
        self.layer = layer
        # Two layers may share a weight, and each gets its own.
        base = layer.weight if layer.weight.startswith(f"{layer.name}.") else f"{layer.name}/{layer.weight}"
        self.output = f"{base}.dq"
        names = [f"{base}.{part}" for part in ("int8", "scale")]
        self.initializers = [
            numpy_helper.from_array(weight.values, names[0]),
            numpy_helper.from_array(weight.scale, names[1]),
        ]
        self.node = helper.make_node(
            "DequantizeLinear",
            names,
            [self.output],
            name=f"{base}/DQ",
            axis=layer.channel_axis,
        )


def _redirect(graph: onnx.GraphProto, pairs: Sequence[_ActivationPair], stored: Sequence[_StoredWeight]) -> None:
    """Makes the quantized inputs read the dequantized tensors."""
    nodes = {node.name: node for node in graph.node}
    for pair in pairs:
        for consumer in pair.activation.consumers:
            nodes[consumer.node].input[consumer.index] = pair.output
    for weight in stored:
        nodes[weight.layer.name].input[1] = weight.output


def _insert_nodes(graph: onnx.GraphProto, pairs: Sequence[_ActivationPair], stored: Sequence[_StoredWeight]) -> None:
    """Puts each pair after the node that makes its tensor, and each weight before its layer."""
    after = {pair.tensor: pair.nodes for pair in pairs}
    before: defaultdict[str, list[onnx.NodeProto]] = defaultdict(list)
    for weight in stored:
        before[weight.layer.name].append(weight.node)
    ordered = [node for value in graph.input for node in after.get(value.name, [])]
    for node in graph.node:
        ordered += [*before[node.name], node]
        ordered += [inserted for output in node.output for inserted in after.get(output, [])]
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in ordered]
    del graph.node[:]
    graph.node.extend(copies)


def _replace_initializers(
    graph: onnx.GraphProto, pairs: Sequence[_ActivationPair], stored: Sequence[_StoredWeight]
) -> None:
    """Adds the new constants and drops float weights that nothing reads any more, with what is said of their types."""
    used = {name for node in graph.node for name in node.input} | {value.name for value in graph.output}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    dropped = {tensor.name for tensor in graph.initializer} - used
    added = [tensor for weight in stored for tensor in weight.initializers]
    added += [tensor for pair in pairs for tensor in pair.initializers]
    added += [numpy_helper.from_array(np.array(0, np.int8), ZERO_POINT)] if pairs else []
    infos = [value for value in graph.value_info if value.name not in dropped]
    clones = [TensorProto.FromString(tensor.SerializeToString()) for tensor in [*kept, *added]]
    described = [onnx.ValueInfoProto.FromString(value.SerializeToString()) for value in infos]
    del graph.initializer[:]
    graph.initializer.extend(clones)
    del graph.value_info[:]
    graph.value_info.extend(described)


def _add_metadata(model: onnx.ModelProto, table: CalibrationTable, placement: Placement) -> None:
    facts = {
        "scheme": "int8 symmetric, activations per tensor, weights per output channel",
        "tensors": len(placement.activations),
        "layers": len(placement.layers),
        "weight_only_layers": len(placement.weight_only),
        "float_layers": len(placement.float_layers),
        "methods": dict(Counter(table.ranges[tensor].method for tensor in placement.tensors)),
        "onnx_sha256": table.onnx_sha256,
        "samples_sha256": table.samples_sha256,
        "images": table.image_count,
    }
    known = {prop.key: prop.value for prop in model.metadata_props}
    helper.set_model_props(model, {**known, METADATA_KEY: json.dumps(facts, sort_keys=True, separators=(",", ":"))})


def _require_opset(model: onnx.ModelProto) -> None:
    version = default_opset(model)
    if version < SMALLEST_OPSET:
        raise QuantizationError(
            f"the model has ONNX opset {version}; FP16 scales need {SMALLEST_OPSET} or later, export it again"
        )
