"""Aligns the INT8 logit with the FP32 logit by scale and offset, so that a threshold means the same as before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import numpy_helper

from calibration.errors import QuantizationError
from calibration.layers import Role, layers_from_graph

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SMALLEST_VARIANCE = 1e-12


@dataclass(frozen=True)
class Alignment:
    """The FP32 logit is about `scale` times the INT8 logit plus `offset`."""

    scale: float
    offset: float

    def of(self, logits: NDArray[np.float64]) -> NDArray[np.float64]:
        """Returns aligned logits."""
        return self.scale * logits + self.offset

    def then(self, other: Alignment) -> Alignment:
        """Returns this alignment followed by another."""
        return Alignment(other.scale * self.scale, other.scale * self.offset + other.offset)


IDENTITY = Alignment(1.0, 0.0)


def fitted_alignment(logits: NDArray[np.float64], reference: NDArray[np.float64]) -> Alignment:
    """Returns the least-squares line from logits (N,) to reference logits (N,)."""
    variance = float(np.var(logits))
    if variance < _SMALLEST_VARIANCE:
        return Alignment(1.0, float(np.mean(reference) - np.mean(logits)))
    scale = float(np.mean((logits - logits.mean()) * (reference - reference.mean()))) / variance
    return Alignment(scale, float(reference.mean() - scale * logits.mean()))


def aligned(model: onnx.ModelProto, alignment: Alignment) -> onnx.ModelProto:
    """Folds an alignment into the classifier; the model given is left alone.

    Args:
        model: A float graph that ends in one linear layer.
        alignment: What to fold in.

    Raises:
        QuantizationError: The graph ends otherwise.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    node = _classifier(result.graph)
    if len(node.input) < 3:  # the exporter drops a bias that is zero
        node.input.append(f"{node.name}.bias")
        outputs = next(layer for layer in layers_from_graph(model.graph) if layer.name == node.name)
        zeros = np.zeros(outputs.weight_shape[outputs.channel_axis], np.float32)
        result.graph.initializer.append(numpy_helper.from_array(zeros, node.input[2]))
    for tensor in result.graph.initializer:
        if tensor.name in node.input[1:3]:
            values = numpy_helper.to_array(tensor).astype(np.float64) * alignment.scale
            values = values + (alignment.offset if tensor.name == node.input[2] else 0.0)
            tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float32), tensor.name))
    return result


def require_alignable(graph: onnx.GraphProto) -> None:
    """Refuses a graph that does not end in one linear layer.

    Raises:
        QuantizationError: The graph ends otherwise.
    """
    _classifier(graph)


def _classifier(graph: onnx.GraphProto) -> onnx.NodeProto:
    classifiers = {layer.name for layer in layers_from_graph(graph) if layer.role is Role.CLASSIFIER}
    nodes: list[onnx.NodeProto] = [node for node in graph.node if node.name in classifiers]
    if len(nodes) != 1 or nodes[0].op_type not in ("Gemm", "Conv"):
        raise QuantizationError(
            "the logit cannot be aligned: the graph does not end in one linear layer; build q16 or q8w for this network"
        )
    return nodes[0]


def with_corrected_biases(
    model: onnx.ModelProto, corrections: dict[str, NDArray[np.float32]], biases: dict[str, str]
) -> onnx.ModelProto:
    """Adds corrections to biases; the model given is left alone.

    Args:
        model: A float graph.
        corrections: Layer -> what is added to its bias, of shape (outputs,).
        biases: Layer -> its bias initializer.
    """
    added = {biases[layer]: values for layer, values in corrections.items()}
    result = onnx.ModelProto()
    result.CopyFrom(model)
    for tensor in result.graph.initializer:
        if tensor.name in added:
            values = numpy_helper.to_array(tensor) + added[tensor.name]
            tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float32), tensor.name))
    return result
