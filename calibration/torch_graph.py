"""Walks an exported FP32 graph in PyTorch, from any point to any other, with some inputs of nodes replaced on the way.

This is what the INT8 search computes with: ONNX Runtime runs a graph only as a whole, while the search asks again and
again what happens behind one changed layer. Runs on whatever device PyTorch has.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from onnx import helper, numpy_helper

from calibration.errors import QuantizationError
from calibration.graph_index import GraphIndex
from calibration.torch_operators import COMPUTED
from export.contract import INPUT_NAME, OUTPUT_NAME

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    import onnx

    Transform = Callable[[torch.Tensor], torch.Tensor]
    Overrides = Mapping[tuple[str, int], Transform]
    State = dict[str, torch.Tensor]


@dataclass(frozen=True)
class _Step:
    """One node, ready to be computed."""

    name: str
    compute: Callable[[list[Any]], torch.Tensor | Sequence[torch.Tensor]]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    expiring: tuple[str, ...]


class TorchGraph:
    """An FP32 graph on a PyTorch device.

    Raises:
        QuantizationError: A node is of an operator that is not known here.

    Attributes:
        device: Where it computes.
        readers: Initializer -> the first place that reads it: (node, input number).
        constants: Initializer -> its value on the device.
        channel_axes: Tensor -> -1, for what matrix products with constant weights read and make; the channels of any
            other tensor lie along axis 1.
        cuts: Positions between nodes where a single tensor is alive, with that tensor's name, in graph order; position
            i stands before node i. The first is the graph's input.
    """

    def __init__(self, model: onnx.ModelProto, device: torch.device | str = "cpu") -> None:
        require_computable(model.graph)
        index = GraphIndex(model.graph)
        self.device = torch.device(device)
        self.constants = {
            name: torch.from_numpy(numpy_helper.to_array(tensor).copy()).to(self.device)
            for name, tensor in index.initializers.items()
        }
        self.readers = {
            name: (uses[0].node.name, uses[0].index) for name, uses in index.uses.items() if name in self.constants
        }
        self.channel_axes = {
            name: -1
            for node in model.graph.node
            if node.op_type in ("Gemm", "MatMul") and node.input[1] in self.constants
            for name in (node.input[0], node.output[0])
        }
        # An output that nothing reads is used last where it is made.
        last_use = {
            name: position for position, node in enumerate(model.graph.node) for name in [*node.output, *node.input]
        }
        expiring: dict[int, list[str]] = {}
        for name in sorted(last_use.keys() - {"", OUTPUT_NAME}):
            expiring.setdefault(last_use[name], []).append(name)
        self._steps = tuple(
            self._step(node, tuple(expiring.get(position, ()))) for position, node in enumerate(model.graph.node)
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
            made = step.compute(inputs)
            alive.update(zip(step.outputs, (made,) if isinstance(made, torch.Tensor) else made, strict=True))
            for name in step.expiring:
                if name not in keep:
                    alive.pop(name, None)
        return alive

    def _step(self, node: onnx.NodeProto, expiring: tuple[str, ...]) -> _Step:
        attributes = {item.name: helper.get_attribute_value(item) for item in node.attribute}
        compute = COMPUTED[node.op_type]
        outputs = tuple(node.output)
        return _Step(node.name, lambda inputs: compute(inputs, attributes), tuple(node.input), outputs, expiring)

    def _single_tensor_cuts(self) -> tuple[tuple[int, str], ...]:
        alive = {INPUT_NAME}
        cuts = [(0, INPUT_NAME)]
        for position, step in enumerate(self._steps):
            alive = (alive | set(step.outputs)) - set(step.expiring)
            if len(alive) == 1 and position + 1 < len(self._steps):
                cuts.append((position + 1, next(iter(alive))))
        return tuple(cuts)


def require_computable(graph: onnx.GraphProto) -> None:
    """Refuses a graph with an operator that cannot be computed here.

    Raises:
        QuantizationError: The message names the first such node.
    """
    for node in graph.node:
        if node.op_type not in COMPUTED or node.domain not in ("", "ai.onnx"):
            raise QuantizationError(
                f"node {node.name} is a {node.op_type}, which the INT8 search and pruning cannot compute; build q16 or "
                "q8w for this network, which need neither"
            )


def torch_device() -> torch.device:
    """Returns the GPU if PyTorch sees one, the CPU otherwise."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
