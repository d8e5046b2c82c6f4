"""Makes a network's export say plainly what it computes, so that every engine and the INT8 search can follow.

Three of PyTorch's conveniences leave graphs full of shape arithmetic: fused attention, adaptive pooling to one place,
and weights that a graph holds once because they happen to be equal. Nothing here changes a result.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import onnx
from torch import nn

if TYPE_CHECKING:
    import torch

_ONE_PLACE = (1, (1, 1))


class _MeanOverPlaces(nn.Module):
    """Averages a feature map (N, C, h, w) over its places; returns (N, C, 1, 1)."""

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return features.mean(dim=(2, 3), keepdim=True)


def plainly_spelled(module: nn.Module) -> nn.Module:
    """Returns a copy of a network, in eval mode, that computes the same and exports without shape arithmetic."""
    plain = copy.deepcopy(module)
    for name, layer in list(plain.named_modules()):
        # timm's attention then multiplies, adds and normalizes by itself instead of asking for one fused operator.
        if isinstance(getattr(layer, "fused_attn", None), bool):
            layer.fused_attn = False
        if name and isinstance(layer, nn.AdaptiveAvgPool2d) and layer.output_size in _ONE_PLACE:
            plain.set_submodule(name, _MeanOverPlaces())
    return plain.eval()


def give_each_its_own(graph: onnx.GraphProto) -> None:
    """Copies constants that several nodes read as weight, bias or addend, so that one can change without the others.

    The exporter stores equal constants once, as it finds the zeros of biases that were never trained. Single numbers
    and integers, which are no weights, stay shared.
    """
    constants = {tensor.name: tensor for tensor in graph.initializer}
    readers: dict[str, list[tuple[onnx.NodeProto, int]]] = {}
    for node in graph.node:
        for index, name in enumerate(node.input):
            if name in constants and _may_change(constants[name]):
                readers.setdefault(name, []).append((node, index))
    for name, places in readers.items():
        for node, index in places[1:]:
            own = onnx.TensorProto()
            own.CopyFrom(constants[name])
            own.name = f"{node.name}/{name}"
            node.input[index] = own.name
            graph.initializer.append(own)


def _may_change(tensor: onnx.TensorProto) -> bool:
    count = 1
    for length in tensor.dims:
        count *= length
    return tensor.data_type == onnx.TensorProto.FLOAT and count > 1
