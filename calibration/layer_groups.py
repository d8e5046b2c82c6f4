"""Layers that an INT8 variant settles together, with what they weigh and compute."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from calibration.layers import POOL_OPS, Layer, Role, gates_from_graph, layers_from_graph
from calibration.observation import with_outputs
from export.contract import INPUT_NAME
from export.runners import session_from_model

if TYPE_CHECKING:
    from collections.abc import Mapping

    import onnx


@dataclass(frozen=True)
class LayerGroup:
    """One layer, or the layers of one squeeze-and-excitation gate.

    Attributes:
        name: Name of its first layer.
        role: What it does.
        layers: Its layers, in graph order.
        weights: Number of weights.
        macs: Multiply-accumulate operations per image.
    """

    name: str
    role: Role
    layers: tuple[Layer, ...]
    weights: int
    macs: int

    @property
    def channels(self) -> int:
        """Output channels of all its layers: as many scales and zero points as INT8 weights need."""
        return sum(layer.weight_shape[layer.channel_axis] for layer in self.layers)


def groups_from_graph(model: onnx.ModelProto) -> tuple[LayerGroup, ...]:
    """Groups the layers of an FP32 graph, in graph order."""
    layers = layers_from_graph(model.graph)
    positions = _output_positions(model, layers)
    grouped: dict[str, list[Layer]] = {}
    gate_of_layer = _gates_by_layer(model.graph, layers)
    for layer in layers:
        grouped.setdefault(gate_of_layer.get(layer.name, layer.name), []).append(layer)
    return tuple(
        LayerGroup(
            name=members[0].name,
            role=members[0].role,
            layers=tuple(members),
            weights=sum(layer.weight_count for layer in members),
            macs=sum(layer.weight_count * positions[layer.name] for layer in members),
        )
        for members in grouped.values()
    )


def _gates_by_layer(graph: onnx.GraphProto, layers: tuple[Layer, ...]) -> dict[str, str]:
    """Names, for each squeeze-and-excitation layer, the gated product that its gate belongs to."""
    makers = {output: node for node in graph.node for output in node.output}
    squeezing = {layer.name for layer in layers if layer.role is Role.SQUEEZE_EXCITE}
    found = {}
    for product, gate in gates_from_graph(graph).items():
        pending = [gate]
        while pending:
            node = makers.get(pending.pop())
            if node is None or node.op_type in POOL_OPS:
                continue
            if node.name in squeezing:
                found[node.name] = f"gate of {product}"
            pending += node.input
    return found


def _output_positions(model: onnx.ModelProto, layers: tuple[Layer, ...]) -> Mapping[str, int]:
    """Returns at how many positions of an image each layer applies its weights, by running it on one."""
    outputs = tuple(layer.output for layer in layers)
    session = session_from_model(with_outputs(model, outputs))
    lengths = model.graph.input[0].type.tensor_type.shape.dim[1:]
    image = np.zeros((1, *(length.dim_value for length in lengths)), np.float32)
    values = session.run(list(outputs), {INPUT_NAME: image})
    return {
        layer.name: value.size // layer.weight_shape[layer.channel_axis]
        for layer, value in zip(layers, values, strict=True)
    }
