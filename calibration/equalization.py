"""Shifts and scales the channels of activations so that one INT8 scale serves all of them; the function stays the same.

TensorRT quantizes an activation with one symmetric scale. In networks with SiLU and squeeze-and-excitation that wastes
most of the 255 levels: a few channels are a hundred times wider than the others, and SiLU's values are hardly negative.
Every layer that reads an activation x is linear in it, so it can as well read x' = (x - shift) / scale, channel by
channel, with its weights times the scale and its bias plus weight times shift.

The scaling is SmoothQuant's (Xiao et al., arXiv 2211.10438) and, between linear layers, that of cross-layer
equalization (Nagel et al., arXiv 1906.04721); the shift generalizes shift-negative correction (Habi et al., arXiv
2109.09113) to every channel and both signs. How far to scale is settled per tensor by the predicted noise of the layers
that read it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from calibration.equalization_sites import Site, Stream, sites_from_graph, streams_from_graph
from calibration.graph_index import GraphIndex
from calibration.layers import Layer, biases_from_graph, layers_from_graph
from calibration.ranges import LEVELS

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from numpy.typing import NDArray

    from calibration.channel_statistics import ChannelStatistics

    Array = NDArray[np.float64]

STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
# Channels narrower than this share of the widest are scaled as if they were that wide: dead ones have no width at all.
NARROWEST = 2.0**-10
# Factors and offsets of operators are FP16 numbers; dead tensors and constant channels would make them infinite.
_LARGEST_CONSTANT = 2.0**15


@dataclass(frozen=True)
class EqualizedTensor:
    """What was done to one tensor.

    Attributes:
        tensor: Its name in the equalized graph.
        kind: `stream`, `gated` or `explicit`; see `calibration.equalization_sites`.
        strength: 0 keeps the widths of the channels, 1 makes them equal.
        shifted: Whether channels were centred.
        noise_before: Predicted power of the noise that INT8 causes in the layers that read it, over their signal's.
        noise_after: The same for the equalized tensor.
    """

    tensor: str
    kind: str
    strength: float
    shifted: bool
    noise_before: float
    noise_after: float

    def to_dict(self) -> dict[str, Any]:
        """Returns the facts for a sidecar."""
        return asdict(self)


def tensors_to_measure(graph: onnx.GraphProto, quantized: Collection[str]) -> tuple[str, ...]:
    """Returns the tensors whose channel statistics `equalized_from_fp32` needs."""
    streams = [tensor for stream in streams_from_graph(graph) for tensor in stream.tensors]
    return (*streams, *(site.tensor for site in sites_from_graph(graph, quantized)))


def equalized_from_fp32(
    model: onnx.ModelProto, statistics: Mapping[str, ChannelStatistics], quantized: Collection[str]
) -> tuple[onnx.ModelProto, tuple[EqualizedTensor, ...]]:
    """Rewrites a graph so that the inputs of its layers suit INT8; the model given is left alone.

    Args:
        model: The FP32 graph.
        statistics: Tensor -> its channels, for every tensor of `tensors_to_measure`.
        quantized: Layers that may become INT8. Tensors that only others read get no operators of their own.

    Returns:
        A checked FP32 model with the same output up to rounding, and what was done.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    rewriting = _Rewriting(result)
    done: list[EqualizedTensor] = []
    sites = sites_from_graph(model.graph, quantized)
    for stream in streams_from_graph(model.graph):
        done += rewriting.equalize_stream(stream, statistics)
    for site in sites:
        done.append(rewriting.equalize_site(site, statistics[site.tensor]))
    rewriting.finish()
    onnx.checker.check_model(result, full_check=True)
    return result, tuple(done)


def predicted_noise(
    width: Array, scale: Array, variance: Array, weights: Sequence[Array], powers: Sequence[float]
) -> float:
    """Returns the noise power that INT8 causes in the layers that read x / scale, relative to their signal.

    Rounding errors are taken as uniform and independent: variance step^2 / 12 for every activation and weight. What
    they add on average is left out, because bias correction removes it.

    Args:
        width: (C,) largest |x| of each channel.
        scale: (C,) what each channel is divided by.
        variance: (C,) variance of x.
        weights: A matrix (outputs, C) for each layer; kernel positions are summed in squares. A zero says that an
            output does not read the channel, or that its weight is exactly zero, which INT8 keeps.
        powers: Signal power of each layer.
    """
    step = float(np.max(width / scale)) / LEVELS
    total = 0.0
    for weight, power in zip(weights, powers, strict=True):
        scaled = weight * scale
        activation_noise = step**2 / 12 * float(np.sum(scaled**2))
        weight_step = np.abs(scaled).max(axis=1) / LEVELS
        weight_noise = float(np.sum(weight_step**2 / 12 * ((weight != 0) @ (variance / scale**2))))
        total += (activation_noise + weight_noise) / max(power, 1e-30)
    return total


@dataclass(frozen=True)
class _Channels:
    """The chosen transformation of one tensor or stream and its predicted noise."""

    scale: Array
    strength: float
    noise_before: float
    noise_after: float


class _Rewriting:
    """One pass over a graph: weights are replaced in memory, new nodes collected, both written by `finish`."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._graph = model.graph
        self._index = GraphIndex(model.graph)
        self._layers: dict[str, Layer] = {layer.name: layer for layer in layers_from_graph(model.graph)}
        self._biases = biases_from_graph(model.graph)
        self._nodes = {node.name: node for node in model.graph.node}
        self._arrays: dict[str, Array] = {}
        self._new_constants: dict[str, NDArray[np.float32]] = {}
        self._after: dict[str, list[onnx.NodeProto]] = {}

    def equalize_stream(self, stream: Stream, statistics: Mapping[str, ChannelStatistics]) -> list[EqualizedTensor]:
        """Scales a stream as a whole and shifts each of its tensors."""
        # By the mean, not the middle: what stays FP16 reads the stream, too, and FP16 is precise around zero only.
        shifts = {
            name: statistics[name].mean if name in stream.shiftable else np.zeros_like(statistics[name].mean)
            for name in stream.tensors
        }
        width = np.max([_width(statistics[name], shifts[name]) for name in stream.tensors], axis=0)
        variance = np.mean([statistics[name].variance for name in stream.tensors], axis=0)
        readers = [reader for names in stream.readers.values() for reader in names]
        chosen = self._chosen(width, variance, readers)
        for name in stream.producers:
            self._scale_output(self._layers[name], chosen.scale)
        for name in stream.producers:
            self._shift_output(stream, self._layers[name], shifts, chosen.scale)
        for tensor, names in stream.readers.items():
            for name in names:
                self._absorb(self._layers[name], chosen.scale, shifts[tensor])
        return [
            EqualizedTensor(
                tensor,
                "stream",
                chosen.strength,
                bool(np.any(shifts[tensor])),
                chosen.noise_before,
                chosen.noise_after,
            )
            for tensor in stream.tensors
        ]

    def equalize_site(self, site: Site, statistics: ChannelStatistics) -> EqualizedTensor:
        """Gives a tensor operators that shift and scale it."""
        shift = self._shift(statistics, site.shiftable)
        chosen = self._chosen(_width(statistics, shift), statistics.variance, site.readers)
        bounded = np.maximum(chosen.scale, np.maximum(np.abs(shift), 1.0) / _LARGEST_CONSTANT)
        inverse = (1 / bounded).astype(np.float16).astype(np.float32)  # as an FP16 engine will hold it
        scale = 1 / inverse.astype(np.float64)
        offset = (-shift / scale).astype(np.float16).astype(np.float32)
        shift = -offset.astype(np.float64) * scale
        shape = self._constant_shape(site)
        tensor = site.tensor
        if site.gate:
            self._scale_gate(site, inverse.reshape(shape))
        else:
            tensor = self._append(tensor, "Mul", "scaled", inverse.reshape(shape), site)
        if np.any(offset):
            tensor = self._append(tensor, "Add", "shifted", offset.reshape(shape), site)
        for name in site.readers:
            self._absorb(self._layers[name], scale, shift)
            self._nodes[name].input[0] = tensor
        kind = "gated" if site.gate else "explicit"
        return EqualizedTensor(
            tensor, kind, chosen.strength, bool(np.any(offset)), chosen.noise_before, chosen.noise_after
        )

    def finish(self) -> None:
        """Writes weights, constants and nodes into the graph."""
        for tensor in self._graph.initializer:
            if tensor.name in self._arrays:  # given up one by one: twice the weights in float64 are not little
                values = self._arrays.pop(tensor.name).astype(np.float32)
                tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
        self._new_constants.update({name: values.astype(np.float32) for name, values in self._arrays.items()})
        self._graph.initializer.extend(
            numpy_helper.from_array(values, name) for name, values in self._new_constants.items()
        )
        ordered: list[onnx.NodeProto] = []
        for node in self._graph.node:
            ordered.append(node)
            pending = list(node.output)
            while pending:
                for added in self._after.get(pending.pop(), []):
                    ordered.append(added)
                    pending += added.output
        nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in ordered]
        del self._graph.node[:]
        self._graph.node.extend(nodes)

    def _chosen(self, width: Array, variance: Array, readers: Sequence[str]) -> _Channels:
        """Chooses how far to scale by the predicted noise of all readers together."""
        layers = [self._layers[name] for name in readers]
        weights = [self._matrix(layer, len(width)) for layer in layers]
        powers = [float(np.sum(weight**2 * variance)) for weight in weights]
        floored = np.maximum(width, max(float(width.max()), 1e-12) * NARROWEST)
        candidates = [(floored / floored.max()) ** strength * floored.max() for strength in STRENGTHS]
        noises = [predicted_noise(floored, scale, variance, weights, powers) for scale in candidates]
        best = int(np.argmin(noises))
        return _Channels(candidates[best], STRENGTHS[best], noises[0], noises[best])

    def _shift(self, statistics: ChannelStatistics, allowed: bool) -> Array:
        middle: Array = (statistics.low + statistics.high) / 2
        return middle if allowed else np.zeros_like(middle)

    def _matrix(self, layer: Layer, channels: int) -> Array:
        """Returns a layer's weights as (outputs, input channels), root of the sum of squares over kernel positions."""
        weight = self._weight(layer)
        if weight.ndim == 2:
            return weight.T if layer.channel_axis == 1 else weight
        pooled: Array = np.sqrt(np.sum(weight**2, axis=tuple(range(2, weight.ndim))))
        if pooled.shape[1] == channels:
            return pooled
        # Depthwise: each output reads one channel.
        matrix = np.zeros((len(pooled), channels))
        matrix[np.arange(len(pooled)), np.arange(len(pooled)) * channels // len(pooled)] = pooled[:, 0]
        return matrix

    def _weight(self, layer: Layer) -> Array:
        return self._array(layer.weight)

    def _bias(self, layer: Layer) -> Array:
        """Returns a layer's bias; one that has none gets zeros."""
        if layer.name in self._biases:
            return self._array(self._biases[layer.name])
        node = self._nodes[layer.name]
        if len(node.input) < 3 or not node.input[2]:
            name = f"{layer.name}.bias"
            del node.input[2:]
            node.input.append(name)
            self._arrays[name] = np.zeros(layer.weight_shape[layer.channel_axis])
        return self._array(node.input[2])

    def _array(self, name: str) -> Array:
        if name not in self._arrays:
            self._arrays[name] = numpy_helper.to_array(self._index.initializers[name]).astype(np.float64)
        return self._arrays[name]

    def _scale_output(self, layer: Layer, scale: Array) -> None:
        weight, bias = self._weight(layer), self._bias(layer)
        weight /= scale.reshape(-1, *(1,) * (weight.ndim - 1))
        bias /= scale

    def _shift_output(self, stream: Stream, layer: Layer, shifts: Mapping[str, Array], scale: Array) -> None:
        """Moves the shift of a stream's tensor into the bias of the layer that sets it."""
        zero = np.zeros_like(scale)
        if layer.name in stream.branches:
            identity, output = stream.branches[layer.name]
            moved = shifts.get(output, zero) - shifts.get(identity, zero)
        else:
            moved = shifts.get(layer.output, zero)
        bias = self._bias(layer)
        bias -= moved / scale

    def _absorb(self, layer: Layer, scale: Array, shift: Array) -> None:
        """Makes a layer read (x - shift) / scale in the place of x."""
        weight = self._weight(layer)
        if layer.channel_axis == 1 or weight.ndim == 2 or weight.shape[1] == len(scale):
            if np.any(shift):
                flat = weight.T if layer.channel_axis == 1 else weight
                matrix = flat.reshape(len(flat), len(scale), -1).sum(axis=2)
                bias = self._bias(layer)
                bias += matrix @ shift
            shape = (-1, 1) if layer.channel_axis == 1 else (1, -1, *(1,) * (weight.ndim - 2))
            weight *= scale.reshape(shape)
        else:
            weight *= np.repeat(scale, len(weight) // len(scale)).reshape(-1, *(1,) * (weight.ndim - 1))

    def _constant_shape(self, site: Site) -> tuple[int, ...]:
        node = self._nodes[site.readers[0]]
        return (1, -1, 1, 1) if node.op_type == "Conv" else (1, -1)

    def _scale_gate(self, site: Site, inverse: NDArray[np.float32]) -> None:
        product = self._index.producers[site.tensor]
        scaled = self._insert(site.gate, "Mul", f"{product.name}/gate.scaled", inverse)
        product.input[:] = [scaled if name == site.gate else name for name in product.input]

    def _append(self, tensor: str, operator: str, what: str, constant: NDArray[np.float32], site: Site) -> str:
        return self._insert(tensor, operator, f"{site.readers[0]}/input.{what}", constant)

    def _insert(self, tensor: str, operator: str, name: str, constant: NDArray[np.float32]) -> str:
        self._new_constants[f"{name}.by"] = constant
        node = helper.make_node(operator, [tensor, f"{name}.by"], [name], name=name)
        self._after.setdefault(tensor, []).append(node)
        return name


def _width(statistics: ChannelStatistics, shift: Array) -> Array:
    width: Array = np.maximum(np.abs(statistics.low - shift), np.abs(statistics.high - shift))
    return width
