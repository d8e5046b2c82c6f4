"""Where Q/DQ pairs go: NVIDIA's rules for TensorRT, and a policy that keeps what INT8 harms in float.

The rules (TensorRT developer guide, "Explicit quantization"; ModelOpt implements the same):
all inputs of a quantized layer are quantized; its output is not, so that convolution, bias and SiLU stay one kernel;
of a residual addition only the identity input is quantized, so that the addition fuses with the convolution.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, dataclass
from enum import Enum
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from calibration.errors import QuantizationError
from calibration.layers import Layer, Role, layers_from_graph
from calibration.residuals import residuals_from_graph

if TYPE_CHECKING:
    from collections.abc import Mapping

    import onnx


class Arithmetic(Enum):
    """How a layer of an INT8 variant is stored and computed."""

    INT8 = "int8"
    INT8_WEIGHTS = "int8-weights"
    FLOAT = "float"


@dataclass(frozen=True)
class Choice:
    """What was settled for one layer, and why."""

    arithmetic: Arithmetic
    reason: str = ""


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
        store_int8: What is not quantized still stores its weights as INT8, multiplied as FP16; only patterns of
            `float_layers` keep a layer from that.
        smallest_weight: Layers with fewer weights than this stay float: they save no size worth their error.
        float_layers: Patterns of layer names that stay float whatever their kind, such as `blocks.0.*`.
    """

    stem: bool = False
    depthwise: bool = False
    squeeze_excite: bool = False
    head: bool = True
    classifier: bool = False
    residual: bool = True
    store_int8: bool = False
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
    """Every Q/DQ pair of a graph, in graph order.

    Attributes:
        activations: Tensors that get a pair.
        layers: Layers computed in INT8.
        float_layers: Layers stored and computed in floating point.
        weight_only: Layers whose weights are stored as INT8 and that compute in floating point.
    """

    activations: tuple[QuantizedTensor, ...]
    layers: tuple[QuantizedLayer, ...]
    float_layers: tuple[FloatLayer, ...]
    weight_only: tuple[QuantizedLayer, ...] = ()

    @property
    def tensors(self) -> tuple[str, ...]:
        """The activation tensors that need a range."""
        return tuple(activation.tensor for activation in self.activations)

    def to_dict(self) -> dict[str, Any]:
        """Returns what a report needs: counts, and each float layer with its reason."""
        return {
            "quantized_tensors": len(self.activations),
            "quantized_layers": [layer.name for layer in self.layers],
            "weight_only_layers": [layer.name for layer in self.weight_only],
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
    require_matches(policy.float_layers, layers)
    return placement_from_choices(graph, choices_from_policy(layers, policy), policy.residual)


def choices_from_policy(layers: tuple[Layer, ...], policy: PlacementPolicy) -> dict[str, Choice]:
    """Settles every layer by its kind."""
    choices = {}
    for layer in layers:
        pattern = first_match(layer.name, policy.float_layers)
        reason = f"matches {pattern}" if pattern else _reason_to_stay_float(layer, policy)
        stored = policy.store_int8 and not pattern
        instead = Arithmetic.INT8_WEIGHTS if stored else Arithmetic.FLOAT
        choices[layer.name] = Choice(instead if reason else Arithmetic.INT8, reason)
    return choices


def placement_from_choices(graph: onnx.GraphProto, choices: Mapping[str, Choice], residual: bool) -> Placement:
    """Places the pairs that a choice for every layer needs.

    Args:
        graph: An FP32 graph without Q/DQ nodes.
        choices: Layer -> how it is stored and computed.
        residual: Whether identity inputs of residual additions get a pair where their branch ends in an INT8 layer.
    """
    layers = layers_from_graph(graph)
    quantized = {layer.name: layer for layer in layers if choices[layer.name].arithmetic is Arithmetic.INT8}
    uses: defaultdict[str, list[Consumer]] = defaultdict(list)
    for layer in quantized.values():
        uses[layer.activation].append(Consumer(layer.name, 0))
    for addition in residuals_from_graph(graph) if residual else ():
        if addition.branch_layer in quantized:
            uses[addition.tensor].append(Consumer(addition.node, addition.input_index))
    order = [value.name for value in graph.input] + [output for node in graph.node for output in node.output]
    stored = [layer for layer in layers if choices[layer.name].arithmetic is Arithmetic.INT8_WEIGHTS]
    kept = [layer for layer in layers if choices[layer.name].arithmetic is Arithmetic.FLOAT]
    return Placement(
        activations=tuple(QuantizedTensor(name, tuple(uses[name])) for name in order if name in uses),
        layers=tuple(QuantizedLayer(x.name, x.role, x.weight, x.channel_axis) for x in quantized.values()),
        float_layers=tuple(FloatLayer(x.name, x.role, choices[x.name].reason) for x in kept),
        weight_only=tuple(QuantizedLayer(x.name, x.role, x.weight, x.channel_axis) for x in stored),
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
    if not allowed[layer.role]:
        return f"{layer.role.value} layers stay float"
    if layer.weight_count < policy.smallest_weight:
        return f"has {layer.weight_count} weights, fewer than {policy.smallest_weight}"
    return ""


def first_match(name: str, patterns: tuple[str, ...]) -> str:
    """Returns the first pattern that a layer's name matches, empty if none does."""
    return next((pattern for pattern in patterns if fnmatchcase(name, pattern)), "")


def require_matches(patterns: tuple[str, ...], layers: tuple[Layer, ...]) -> None:
    """Refuses a pattern that no layer's name matches.

    Raises:
        QuantizationError: A pattern matches nothing; the message shows what names look like.
    """
    for pattern in patterns:
        if not any(fnmatchcase(layer.name, pattern) for layer in layers):
            raise QuantizationError(
                f"pattern {pattern!r} matches no layer; names look like {', '.join(x.name for x in layers[:3])}"
            )
