"""Layers that an INT8 variant settles together, with what they weigh and compute."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from calibration.layers import POOL_OPS, Layer, Role, gates_from_graph, layers_from_graph
from export.contract import INPUT_NAME

if TYPE_CHECKING:
    from collections.abc import Mapping

    import onnx

    from calibration.torch_graph import TorchGraph


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


def groups_from_graph(model: onnx.ModelProto, graph: TorchGraph, size: int) -> tuple[LayerGroup, ...]:
    """Groups the layers of a graph, in graph order.

    Args:
        model: The FP32 graph.
        graph: The same, to be run once.
        size: Height and width of the image, in pixels.
    """
    layers = layers_from_graph(model.graph)
    positions = _output_positions(graph, layers, size)
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


def _output_positions(graph: TorchGraph, layers: tuple[Layer, ...], size: int) -> Mapping[str, int]:
    """Returns at how many positions each layer applies its weights."""
    outputs = {layer.output for layer in layers}
    with torch.inference_mode():
        values = graph.run({INPUT_NAME: torch.zeros(1, 3, size, size, device=graph.device)}, keep=outputs)
    return {layer.name: values[layer.output].shape[2:].numel() for layer in layers}
