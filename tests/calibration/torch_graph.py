"""A second implementation of quantized inference: PyTorch walks the float graph and fakes the quantization.

It shares with the code under test only the float graph and the placement; rounding, clipping and scales are those of
`torch.fake_quantize_per_tensor_affine` and `torch.fake_quantize_per_channel_affine`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from onnx import helper, numpy_helper

if TYPE_CHECKING:
    from collections.abc import Callable

    import onnx

    from calibration.placement import Placement


def fp16_rounded(scale: np.ndarray) -> torch.Tensor:
    """Returns scales as an engine with FP16 scales would hold them."""
    return torch.from_numpy(np.asarray(scale)).half().clamp(min=2.0**-14).float()


def fake_quantized_weight(weight: torch.Tensor, axis: int) -> torch.Tensor:
    """Rounds a weight to 255 levels per output channel."""
    moved = weight.movedim(axis, 0).flatten(1)
    scale = fp16_rounded((moved.abs().max(dim=1).values / 127).numpy())
    zero = torch.zeros(len(scale), dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(weight, scale, zero, axis, -127, 127)


def run_in_torch(
    model: onnx.ModelProto, images: np.ndarray, placement: Placement, amax: dict[str, float]
) -> np.ndarray:
    """Returns the logits (N,) of a float graph with fake quantization where the placement says."""
    tensors = {t.name: torch.from_numpy(numpy_helper.to_array(t).copy()) for t in model.graph.initializer}
    axes = {layer.name: layer.channel_axis for layer in placement.layers}
    scales = {
        (consumer.node, consumer.index): fp16_rounded(np.float32(amax[activation.tensor] / 127))
        for activation in placement.activations
        for consumer in activation.consumers
    }
    tensors["image"] = torch.from_numpy(images)
    for node in model.graph.node:
        inputs = [tensors[name] for name in node.input]
        for index in range(len(inputs)):
            if (node.name, index) in scales:
                scale = float(scales[node.name, index])
                inputs[index] = torch.fake_quantize_per_tensor_affine(inputs[index], scale, 0, -128, 127)
        if node.name in axes:
            inputs[1] = fake_quantized_weight(inputs[1], axes[node.name])
        tensors[node.output[0]] = compute(node, inputs)
    return tensors[model.graph.output[0].name].reshape(-1).numpy()


def compute(node: onnx.NodeProto, inputs: list[torch.Tensor]) -> torch.Tensor:
    """Computes one of the operators that an exported EfficientNet consists of."""
    attributes = {item.name: helper.get_attribute_value(item) for item in node.attribute}
    if node.op_type in ("Conv", "Gemm"):
        value, weight = inputs[:2]
        bias = inputs[2] if len(inputs) > 2 else None
        if node.op_type == "Gemm":
            return F.linear(value, weight, bias)
        top, left, bottom, right = attributes["pads"]
        padded = F.pad(value, (left, right, top, bottom))
        return F.conv2d(padded, weight, bias, attributes["strides"], groups=attributes["group"])
    if node.op_type == "ReduceMean":
        return inputs[0].mean(dim=inputs[1].tolist(), keepdim=True)
    if node.op_type == "Reshape":
        return inputs[0].reshape(inputs[1].tolist())
    simple: dict[str, Callable[..., torch.Tensor]] = {"Sigmoid": torch.sigmoid, "Mul": torch.mul, "Add": torch.add}
    return simple[node.op_type](*inputs)
