"""Walks an exported FP32 graph in PyTorch, from any point to any other, with some inputs of nodes replaced on the way.

This is what the INT8 search computes with: ONNX Runtime runs a graph only as a whole, while the search asks again and
again what happens behind one changed layer. Runs on whatever device PyTorch has.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from onnx import helper, numpy_helper
from torch.nn import functional as F

from calibration.errors import QuantizationError
from calibration.graph_index import GraphIndex
from export.contract import INPUT_NAME, OUTPUT_NAME

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    import onnx

    Transform = Callable[[torch.Tensor], torch.Tensor]
    Overrides = Mapping[tuple[str, int], Transform]
    State = dict[str, torch.Tensor]


@dataclass(frozen=True)
class _Step:
    """One node, ready to be computed."""

    name: str
    compute: Callable[[list[Any]], torch.Tensor]
    inputs: tuple[str, ...]
    output: str
    expiring: tuple[str, ...]


class TorchGraph:
    """An FP32 graph on a PyTorch device.

    Attributes:
        device: Where it computes.
        constants: Initializer -> its value on the device.
        cuts: Positions between nodes where a single tensor is alive, with that tensor's name, in graph order; position
            i stands before node i. The first is the graph's input.
    """

    def __init__(self, model: onnx.ModelProto, device: torch.device | str = "cpu") -> None:
        index = GraphIndex(model.graph)
        self.device = torch.device(device)
        self.constants = {
            name: torch.from_numpy(numpy_helper.to_array(tensor).copy()).to(self.device)
            for name, tensor in index.initializers.items()
        }
        last_use = {name: position for position, node in enumerate(model.graph.node) for name in node.input}
        self._steps = tuple(
            self._step(node, tuple(sorted({n for n in node.input if n and last_use[n] == position} - {OUTPUT_NAME})))
            for position, node in enumerate(model.graph.node)
        )
        self._positions = {step.name: position for position, step in enumerate(self._steps)}
        self.cuts = self._single_tensor_cuts()

    def __len__(self) -> int:
        """Number of nodes."""
        return len(self._steps)

    def position(self, node: str) -> int:
        """Returns the position of a node."""
        return self._positions[node]

    def logits(self, images: torch.Tensor, overrides: Overrides | None = None) -> torch.Tensor:
        """Returns the fake logits, shape (N,), of normalized images, shape (N, 3, size, size)."""
        with torch.inference_mode():
            return self.run({INPUT_NAME: images}, overrides)[OUTPUT_NAME].reshape(-1)

    def run(
        self,
        state: Mapping[str, torch.Tensor],
        overrides: Overrides | None = None,
        begin: int = 0,
        end: int | None = None,
        keep: Collection[str] = (),
    ) -> State:
        """Computes the nodes from position `begin` up to, not including, `end`.

        Args:
            state: The tensors that are alive at `begin`; left alone.
            overrides: (node, input number) -> what that node reads in the place of its input.
            begin: First node to compute.
            end: Node to stop before; None for the end of the graph.
            keep: Tensors to return although nothing reads them any more.

        Returns:
            The tensors that are alive at `end`, and those of `keep` that were computed.
        """
        overrides = overrides or {}
        alive = dict(state)
        for step in self._steps[begin:end]:
            inputs: list[torch.Tensor | None] = []
            for number, name in enumerate(step.inputs):
                if not name:  # an optional input that is left out
                    inputs.append(None)
                    continue
                value = alive[name] if name in alive else self.constants[name]
                transform = overrides.get((step.name, number))
                inputs.append(value if transform is None else transform(value))
            alive[step.output] = step.compute(inputs)
            for name in step.expiring:
                if name not in keep:
                    alive.pop(name, None)
        return alive

    def _step(self, node: onnx.NodeProto, expiring: tuple[str, ...]) -> _Step:
        attributes = {item.name: helper.get_attribute_value(item) for item in node.attribute}
        if node.op_type not in _COMPUTED:
            raise QuantizationError(
                f"node {node.name} is a {node.op_type}, which calibration and pruning cannot compute; they know "
                f"{', '.join(sorted(_COMPUTED))}; build q16 for this network"
            )
        compute = _COMPUTED[node.op_type]
        return _Step(node.name, lambda inputs: compute(inputs, attributes), tuple(node.input), node.output[0], expiring)

    def _single_tensor_cuts(self) -> tuple[tuple[int, str], ...]:
        alive = {INPUT_NAME}
        cuts = [(0, INPUT_NAME)]
        for position, step in enumerate(self._steps):
            alive = (alive | {step.output}) - set(step.expiring)
            if len(alive) == 1 and position + 1 < len(self._steps):
                cuts.append((position + 1, next(iter(alive))))
        return tuple(cuts)


def torch_device() -> torch.device:
    """Returns the GPU if PyTorch sees one, the CPU otherwise."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _convolved(inputs: list[Any], attributes: Mapping[str, Any]) -> torch.Tensor:
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


def _multiplied(inputs: list[Any], attributes: Mapping[str, Any]) -> torch.Tensor:
    value, weight = inputs[:2]
    value = value.T if attributes.get("transA", 0) else value
    weight = weight.T if attributes.get("transB", 0) else weight
    product: torch.Tensor = attributes.get("alpha", 1.0) * (value @ weight)
    if len(inputs) > 2:
        product = product + attributes.get("beta", 1.0) * inputs[2]
    return product


def _averaged(inputs: list[Any], attributes: Mapping[str, Any]) -> torch.Tensor:
    axes = inputs[1].tolist() if len(inputs) > 1 else list(attributes.get("axes", (2, 3)))
    averaged: torch.Tensor = inputs[0].mean(dim=axes, keepdim=bool(attributes.get("keepdims", 1)))
    return averaged


_COMPUTED: dict[str, Callable[[list[Any], Mapping[str, Any]], torch.Tensor]] = {
    "Add": lambda inputs, _: inputs[0] + inputs[1],
    "Clip": lambda inputs, _: torch.clamp(inputs[0], *inputs[1:3]),
    "Conv": _convolved,
    "Flatten": lambda inputs, attributes: inputs[0].flatten(attributes.get("axis", 1)),
    "Gemm": _multiplied,
    "GlobalAveragePool": lambda inputs, _: inputs[0].mean(dim=(2, 3), keepdim=True),
    "HardSigmoid": lambda inputs, a: torch.clamp(inputs[0] * a.get("alpha", 0.2) + a.get("beta", 0.5), 0, 1),
    "HardSwish": lambda inputs, _: F.hardswish(inputs[0]),
    "Identity": lambda inputs, _: inputs[0],
    "MatMul": lambda inputs, _: inputs[0] @ inputs[1],
    "Mul": lambda inputs, _: inputs[0] * inputs[1],
    "ReduceMean": _averaged,
    "Relu": lambda inputs, _: F.relu(inputs[0]),
    "Reshape": lambda inputs, _: inputs[0].reshape(inputs[1].tolist()),
    "Sigmoid": lambda inputs, _: torch.sigmoid(inputs[0]),
    "Sub": lambda inputs, _: inputs[0] - inputs[1],
}
