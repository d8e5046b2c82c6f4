"""Where Q/DQ pairs go: NVIDIA's rules for TensorRT, and a policy that keeps what INT8 harms in float.

The rules (TensorRT developer guide, "Explicit quantization"; ModelOpt implements the same):
all inputs of a quantized layer are quantized; its output is not, so that convolution, bias and SiLU stay one kernel;
of a residual addition only the identity input is quantized, so that the addition fuses with the convolution.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from calibration.errors import QuantizationError
from calibration.layers import Layer, Role, layers_from_graph
from calibration.residuals import residuals_from_graph

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True)
class PlacementPolicy:
    """Which kinds of layers become INT8.

    Attributes:
        stem: The convolution that reads the image.
        depthwise: Depthwise convolutions.
        squeeze_excite: The two layers of each squeeze-and-excitation gate.
        head: The last layer before the classifier.
        classifier: The layer that makes the logit.
        residual: Identity inputs of residual additions whose branch ends in a quantized layer.
        smallest_weight: Layers with fewer weights than this stay float: they save no size worth their error.
        float_layers: Patterns of layer names that stay float whatever their kind, such as `blocks.0.*`.
    """

    stem: bool = False
    depthwise: bool = False
    squeeze_excite: bool = False
    head: bool = True
    classifier: bool = False
    residual: bool = True
    smallest_weight: int = 0
    float_layers: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Returns the policy for a recipe or sidecar."""
        return {**asdict(self), "float_layers": list(self.float_layers)}


@dataclass(frozen=True)
class Consumer:
    """Input number `index` of the node called `node`."""

    node: str
    index: int


@dataclass(frozen=True)
class QuantizedTensor:
    """An activation that gets one Q/DQ pair, and the inputs that read it through the pair; others read it as it is."""

    tensor: str
    consumers: tuple[Consumer, ...]


@dataclass(frozen=True)
class QuantizedLayer:
    """A layer whose weight is stored as INT8 with one scale per output channel (`channel_axis`)."""

    name: str
    role: Role
    weight: str
    channel_axis: int


@dataclass(frozen=True)
class FloatLayer:
    """A layer that is not quantized, and why."""

    name: str
    role: Role
    reason: str


@dataclass(frozen=True)
class Placement:
    """Every Q/DQ pair of a graph, in graph order."""

    activations: tuple[QuantizedTensor, ...]
    layers: tuple[QuantizedLayer, ...]
    float_layers: tuple[FloatLayer, ...]

    @property
    def tensors(self) -> tuple[str, ...]:
        """The activation tensors that need a range."""
        return tuple(activation.tensor for activation in self.activations)

    def to_dict(self) -> dict[str, Any]:
        """Returns what a report needs: counts, and each float layer with its reason."""
        return {
            "quantized_tensors": len(self.activations),
            "quantized_layers": [layer.name for layer in self.layers],
            "float_layers": {layer.name: layer.reason for layer in self.float_layers},
        }


def placement_from_graph(graph: onnx.GraphProto, policy: PlacementPolicy) -> Placement:
    """Decides what is quantized.

    Args:
        graph: An FP32 graph without Q/DQ nodes.
        policy: What may be quantized.

    Raises:
        QuantizationError: Nodes have no unique names, or a pattern of the policy matches no layer.
    """
    layers = layers_from_graph(graph)
    _require_matches(policy.float_layers, layers)
    reasons = {layer.name: _reason_to_stay_float(layer, policy) for layer in layers}
    quantized = {layer.name: layer for layer in layers if not reasons[layer.name]}
    uses: defaultdict[str, list[Consumer]] = defaultdict(list)
    for layer in quantized.values():
        uses[layer.activation].append(Consumer(layer.name, 0))
    for residual in residuals_from_graph(graph) if policy.residual else ():
        if residual.branch_layer in quantized:
            uses[residual.tensor].append(Consumer(residual.node, residual.input_index))
    order = [value.name for value in graph.input] + [output for node in graph.node for output in node.output]
    return Placement(
        activations=tuple(QuantizedTensor(name, tuple(uses[name])) for name in order if name in uses),
        layers=tuple(QuantizedLayer(x.name, x.role, x.weight, x.channel_axis) for x in quantized.values()),
        float_layers=tuple(FloatLayer(x.name, x.role, reasons[x.name]) for x in layers if reasons[x.name]),
    )


def _reason_to_stay_float(layer: Layer, policy: PlacementPolicy) -> str:
    """Returns why a layer stays float, empty if it is quantized."""
    allowed = {
        Role.STEM: policy.stem,
        Role.DEPTHWISE: policy.depthwise,
        Role.SQUEEZE_EXCITE: policy.squeeze_excite,
        Role.HEAD: policy.head,
        Role.CLASSIFIER: policy.classifier,
        Role.CONVOLUTION: True,
    }
    for pattern in policy.float_layers:
        if fnmatchcase(layer.name, pattern):
            return f"matches {pattern}"
    if not allowed[layer.role]:
        return f"{layer.role.value} layers stay float"
    if layer.weight_count < policy.smallest_weight:
        return f"has {layer.weight_count} weights, fewer than {policy.smallest_weight}"
    return ""


def _require_matches(patterns: tuple[str, ...], layers: tuple[Layer, ...]) -> None:
    for pattern in patterns:
        if not any(fnmatchcase(layer.name, pattern) for layer in layers):
            raise QuantizationError(
                f"pattern {pattern!r} matches no layer; names look like {', '.join(x.name for x in layers[:3])}"
            )
