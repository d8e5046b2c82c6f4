"""ONNX operators in PyTorch: what a walk through a graph (`calibration.torch_graph`) can compute.

Each takes the inputs of a node, None for one that is left out, and its attributes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from onnx import helper
from torch.nn import functional as F

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

Inputs: TypeAlias = "list[Any]"
Attributes: TypeAlias = "Mapping[str, Any]"
Operator: TypeAlias = "Callable[[Inputs, Attributes], torch.Tensor | Sequence[torch.Tensor]]"


def _convolved(inputs: Inputs, attributes: Attributes) -> torch.Tensor:
    value, weight = inputs[:2]
    bias = inputs[2] if len(inputs) > 2 else None
    top, left, bottom, right = attributes.get("pads", (0, 0, 0, 0))
    padding = (top, left)
    if (top, left) != (bottom, right):  # TensorFlow's "same" padding at stride 2
        value, padding = F.pad(value, (left, right, top, bottom)), (0, 0)
    return F.conv2d(
        value,
        weight,
        bias,
        attributes.get("strides", (1, 1)),
        padding,
        attributes.get("dilations", (1, 1)),
        attributes.get("group", 1),
    )


def _multiplied(inputs: Inputs, attributes: Attributes) -> torch.Tensor:
    value, weight = inputs[:2]
    value = value.T if attributes.get("transA", 0) else value
    weight = weight.T if attributes.get("transB", 0) else weight
    product: torch.Tensor = attributes.get("alpha", 1.0) * (value @ weight)
    if len(inputs) > 2:
        product = product + attributes.get("beta", 1.0) * inputs[2]
    return product


def _padded(value: torch.Tensor, attributes: Attributes, filling: float) -> torch.Tensor:
    top, left, bottom, right = attributes.get("pads", (0, 0, 0, 0))
    return F.pad(value, (left, right, top, bottom), value=filling) if any((top, left, bottom, right)) else value


def _window(attributes: Attributes) -> tuple[Any, Any]:
    return attributes["kernel_shape"], attributes.get("strides", (1, 1))


def _largest_in_window(inputs: Inputs, attributes: Attributes) -> torch.Tensor:
    kernel, strides = _window(attributes)
    dilations, ceil = attributes.get("dilations", (1, 1)), bool(attributes.get("ceil_mode", 0))
    return F.max_pool2d(_padded(inputs[0], attributes, float("-inf")), kernel, strides, 0, dilations, ceil)


def _averaged_in_window(inputs: Inputs, attributes: Attributes) -> torch.Tensor:
    kernel, strides = _window(attributes)
    ceil = bool(attributes.get("ceil_mode", 0))
    sums = F.avg_pool2d(_padded(inputs[0], attributes, 0.0), kernel, strides, 0, ceil)
    if attributes.get("count_include_pad", 0):
        return sums
    # Both are divided by the size of the window, so that their ratio is the mean of what lies in the map.
    inside = _padded(torch.ones_like(inputs[0][:1, :1]), attributes, 0.0)
    return sums / F.avg_pool2d(inside, kernel, strides, 0, ceil)


def _reduction(reduce: Callable[..., torch.Tensor]) -> Operator:
    def compute(inputs: Inputs, attributes: Attributes) -> torch.Tensor:
        value: torch.Tensor = inputs[0]
        given = inputs[1].tolist() if len(inputs) > 1 and inputs[1] is not None else attributes.get("axes")
        if not given and attributes.get("noop_with_empty_axes", 0):
            return value
        axes = list(given) if given else list(range(value.ndim))
        return reduce(value, dim=axes, keepdim=bool(attributes.get("keepdims", 1)))

    return compute


def _norm(value: torch.Tensor, dim: list[int], keepdim: bool) -> torch.Tensor:
    return value.square().sum(dim=dim, keepdim=keepdim).sqrt()


def _layer_normalized(inputs: Inputs, attributes: Attributes) -> torch.Tensor:
    value, scale = inputs[:2]
    bias = inputs[2] if len(inputs) > 2 else None
    shape = value.shape[attributes.get("axis", -1) :]
    return F.layer_norm(value, shape, scale.expand(shape), bias, attributes.get("epsilon", 1e-5))


def _batch_normalized(inputs: Inputs, attributes: Attributes) -> torch.Tensor:
    value, scale, bias, mean, variance = inputs
    return F.batch_norm(value, mean, variance, scale, bias, eps=attributes.get("epsilon", 1e-5))


def _instance_normalized(inputs: Inputs, attributes: Attributes) -> torch.Tensor:
    value, scale, bias = inputs
    return F.instance_norm(value, weight=scale, bias=bias, eps=attributes.get("epsilon", 1e-5))


def _reshaped(inputs: Inputs, attributes: Attributes) -> torch.Tensor:
    value: torch.Tensor = inputs[0]
    shape = inputs[1].tolist()
    if not attributes.get("allowzero", 0):
        shape = [value.shape[axis] if length == 0 else length for axis, length in enumerate(shape)]
    return value.reshape(shape)


def _flattened(inputs: Inputs, attributes: Attributes) -> torch.Tensor:
    value: torch.Tensor = inputs[0]
    axis = attributes.get("axis", 1)
    rows = value.shape[:axis].numel()
    return value.reshape(rows, -1)


def _sliced(inputs: Inputs, _: Attributes) -> torch.Tensor:
    value: torch.Tensor = inputs[0]
    starts, ends = inputs[1].tolist(), inputs[2].tolist()
    axes = inputs[3].tolist() if len(inputs) > 3 and inputs[3] is not None else list(range(len(starts)))
    steps = inputs[4].tolist() if len(inputs) > 4 and inputs[4] is not None else [1] * len(starts)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        places = range(value.shape[axis])[start:end:step]
        value = value.index_select(axis, torch.tensor(places, dtype=torch.int64, device=value.device))
    return value


def _gathered(inputs: Inputs, attributes: Attributes) -> torch.Tensor:
    value: torch.Tensor = inputs[0]
    places: torch.Tensor = inputs[1]
    axis = attributes.get("axis", 0) % value.ndim
    places = torch.where(places < 0, places + value.shape[axis], places)
    picked = value.index_select(axis, places.reshape(-1))
    return picked.reshape(*value.shape[:axis], *places.shape, *value.shape[axis + 1 :])


def _split(inputs: Inputs, attributes: Attributes) -> Sequence[torch.Tensor]:
    axis = attributes.get("axis", 0)
    if len(inputs) > 1 and inputs[1] is not None:
        return torch.split(inputs[0], inputs[1].tolist(), axis)
    length = inputs[0].shape[axis]
    return torch.split(inputs[0], -(-length // attributes["num_outputs"]), axis)


def _squeezed(inputs: Inputs, _: Attributes) -> torch.Tensor:
    value: torch.Tensor = inputs[0]
    axes = inputs[1].tolist() if len(inputs) > 1 else [i for i, n in enumerate(value.shape) if n == 1]
    return value.squeeze(tuple(axes))


def _unsqueezed(inputs: Inputs, _: Attributes) -> torch.Tensor:
    value: torch.Tensor = inputs[0]
    axes = inputs[1].reshape(-1).tolist()
    rank = value.ndim + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        value = value.unsqueeze(axis)
    return value


def _expanded(inputs: Inputs, _: Attributes) -> torch.Tensor:
    value: torch.Tensor = inputs[0]
    lengths = inputs[1].tolist()
    own = [1] * (len(lengths) - value.ndim) + list(value.shape)
    lengths = [1] * (value.ndim - len(lengths)) + lengths
    return value.expand([max(a, b) if b else 0 for a, b in zip(own, lengths, strict=True)])


def _shape(inputs: Inputs, attributes: Attributes) -> torch.Tensor:
    found = list(inputs[0].shape)[attributes.get("start", 0) : attributes.get("end")]
    return torch.tensor(found, dtype=torch.int64, device=inputs[0].device)


def _surrounded(inputs: Inputs, attributes: Attributes) -> torch.Tensor:
    value, widths = inputs[0], inputs[1].tolist()
    filling = float(inputs[2]) if len(inputs) > 2 and inputs[2] is not None else 0.0
    axes = inputs[3].tolist() if len(inputs) > 3 else list(range(value.ndim))
    by_axis = {axis % value.ndim: (widths[i], widths[i + len(axes)]) for i, axis in enumerate(axes)}
    mode = {"constant": "constant", "reflect": "reflect", "edge": "replicate"}[_text(attributes, "mode", "constant")]
    last_first = [width for axis in reversed(range(value.ndim)) for width in by_axis.get(axis, (0, 0))]
    if mode == "constant":
        return F.pad(value, last_first, value=filling)
    return F.pad(value, last_first[:4], mode)


def _divided(inputs: Inputs, _: Attributes) -> torch.Tensor:
    whole = not inputs[0].is_floating_point()
    return torch.div(inputs[0], inputs[1], rounding_mode="trunc" if whole else None)


def _cast(inputs: Inputs, attributes: Attributes) -> torch.Tensor:
    name = helper.tensor_dtype_to_np_dtype(attributes["to"]).name
    value: torch.Tensor = inputs[0]
    return value.to(getattr(torch, name))


def _text(attributes: Attributes, name: str, default: str) -> str:
    value = attributes.get(name, default)
    return value.decode() if isinstance(value, bytes) else str(value)


COMPUTED: dict[str, Operator] = {
    "Add": lambda inputs, _: inputs[0] + inputs[1],
    "AveragePool": _averaged_in_window,
    "BatchNormalization": _batch_normalized,
    "Cast": _cast,
    "Clip": lambda inputs, _: torch.clamp(inputs[0], *inputs[1:3]),
    "Concat": lambda inputs, attributes: torch.cat(inputs, attributes["axis"]),
    "Conv": _convolved,
    "Div": _divided,
    "Elu": lambda inputs, attributes: F.elu(inputs[0], attributes.get("alpha", 1.0)),
    "Erf": lambda inputs, _: torch.erf(inputs[0]),
    "Exp": lambda inputs, _: torch.exp(inputs[0]),
    "Expand": _expanded,
    "Flatten": _flattened,
    "Gather": _gathered,
    "Gelu": lambda inputs, a: F.gelu(inputs[0], approximate=_text(a, "approximate", "none")),
    "Gemm": _multiplied,
    "GlobalAveragePool": lambda inputs, _: inputs[0].mean(dim=(2, 3), keepdim=True),
    "GlobalMaxPool": lambda inputs, _: inputs[0].amax(dim=(2, 3), keepdim=True),
    "HardSigmoid": lambda inputs, a: torch.clamp(inputs[0] * a.get("alpha", 0.2) + a.get("beta", 0.5), 0, 1),
    "HardSwish": lambda inputs, _: F.hardswish(inputs[0]),
    "Identity": lambda inputs, _: inputs[0],
    "InstanceNormalization": _instance_normalized,
    "LayerNormalization": _layer_normalized,
    "LeakyRelu": lambda inputs, attributes: F.leaky_relu(inputs[0], attributes.get("alpha", 0.01)),
    "MatMul": lambda inputs, _: inputs[0] @ inputs[1],
    "MaxPool": _largest_in_window,
    "Mul": lambda inputs, _: inputs[0] * inputs[1],
    "Neg": lambda inputs, _: -inputs[0],
    "Pad": _surrounded,
    "Pow": lambda inputs, _: torch.pow(inputs[0], inputs[1]),
    "Reciprocal": lambda inputs, _: torch.reciprocal(inputs[0]),
    "ReduceL2": _reduction(_norm),
    "ReduceMax": _reduction(torch.amax),
    "ReduceMean": _reduction(torch.mean),
    "ReduceSum": _reduction(torch.sum),
    "Relu": lambda inputs, _: F.relu(inputs[0]),
    "Reshape": _reshaped,
    "Shape": _shape,
    "Sigmoid": lambda inputs, _: torch.sigmoid(inputs[0]),
    "Slice": _sliced,
    "Softmax": lambda inputs, attributes: torch.softmax(inputs[0], attributes.get("axis", -1)),
    "Softplus": lambda inputs, _: F.softplus(inputs[0]),
    "Split": _split,
    "Sqrt": lambda inputs, _: torch.sqrt(inputs[0]),
    "Squeeze": _squeezed,
    "Sub": lambda inputs, _: inputs[0] - inputs[1],
    "Tanh": lambda inputs, _: torch.tanh(inputs[0]),
    "Transpose": lambda inputs, a: inputs[0].permute(a.get("perm", tuple(reversed(range(inputs[0].ndim))))),
    "Unsqueeze": _unsqueezed,
}
