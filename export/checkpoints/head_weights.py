"""Classifiers among the tensors of a checkpoint that are no part of its backbone."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import torch

LayerKind = Literal["linear", "batch-norm", "layer-norm"]

# What the classifier is called that a network has from its library.
OWN_NAMES = ("classifier", "_fc", "fc", "head", "head.fc", "last_linear", "head.l")
_MOST_OUTPUTS = 2


@dataclass(frozen=True)
class LayerWeights:
    """The tensors of one layer.

    Attributes:
        kind: What layer it is.
        position: Its place in an `nn.Sequential`; None for a layer that stands alone.
        tensors: `weight`, `bias`, `running_mean`, ... -> tensor.
    """

    kind: LayerKind
    position: int | None
    tensors: Mapping[str, torch.Tensor]

    @property
    def inputs(self) -> int:
        """Number of features it reads."""
        return int(self._widest.shape[-1])

    @property
    def outputs(self) -> int:
        """Number of features it gives."""
        return int(self._widest.shape[0])

    @property
    def _widest(self) -> torch.Tensor:
        return self.tensors["weight"] if "weight" in self.tensors else self.tensors["running_mean"]


@dataclass(frozen=True)
class HeadWeights:
    """A classifier: one linear layer or an `nn.Sequential` with at least one.

    Attributes:
        parent: Key of the `nn.Sequential`, or of the layer that stands alone.
        layers: Its layers with weights, in order.
    """

    parent: str
    layers: tuple[LayerWeights, ...]

    @property
    def key(self) -> str:
        """Prefix of its tensors, without the last dot."""
        if self.is_one_layer and self.layers[0].position is not None:
            return f"{self.parent}.{self.layers[0].position}".lstrip(".")
        return self.parent

    @property
    def is_one_layer(self) -> bool:
        """Whether it is one linear layer, so that nothing about it is unknown."""
        return len(self.layers) == 1

    @property
    def inputs(self) -> int:
        """Number of features it reads."""
        return self.layers[0].inputs

    @property
    def outputs(self) -> int:
        """Number of logits."""
        return self.layers[-1].outputs

    @property
    def can_detect(self) -> bool:
        """Whether it has one or two outputs."""
        return self.outputs <= _MOST_OUTPUTS

    @property
    def names(self) -> frozenset[str]:
        """Keys of all its tensors."""
        places = [
            self.parent if layer.position is None else f"{self.parent}.{layer.position}".lstrip(".")
            for layer in self.layers
        ]
        return frozenset(
            f"{place}.{name}" for place, layer in zip(places, self.layers, strict=True) for name in layer.tensors
        )

    def __str__(self) -> str:
        """Describes it in a line, such as `fc (2048 -> 1)`."""
        if self.is_one_layer:
            return f"{self.key} ({self.inputs} -> {self.outputs})"
        layers = ", ".join(
            f"{layer.position}: linear {layer.inputs} -> {layer.outputs}"
            if layer.kind == "linear"
            else f"{layer.position}: {layer.kind} {layer.outputs}"
            for layer in self.layers
        )
        return f"{self.key} ({layers})"


def heads_in(tensors: Mapping[str, torch.Tensor]) -> tuple[HeadWeights, ...]:
    """Returns every classifier among tensors: linear layers, alone or in an `nn.Sequential` that fits together."""
    layers = {place: _layer(place, held) for place, held in _by_module(tensors).items()}
    parents: dict[str, list[LayerWeights]] = {}
    unknown = {_parent(place) for place, layer in layers.items() if layer is None}
    for place, layer in layers.items():
        if layer is not None:
            parents.setdefault(place if layer.position is None else _parent(place), []).append(layer)
    heads: list[HeadWeights] = []
    for parent, found in parents.items():
        ordered = sorted(found, key=lambda layer: -1 if layer.position is None else layer.position)
        if parent not in unknown and _fit_together(ordered):
            heads.append(HeadWeights(parent, tuple(ordered)))
        else:  # a list of heads, or other layers between
            heads += [HeadWeights(parent, (layer,)) for layer in ordered]
    return tuple(head for head in heads if head.layers[-1].kind == "linear")


def suggested_layers(head: HeadWeights) -> tuple[str, ...]:
    """Returns a guess at all layers of an `nn.Sequential`: where some are unknown, ReLU and then dropout."""
    layers: list[str] = []
    for layer in head.layers:
        missing = (layer.position or 0) - len(layers)
        first = ["relu"] if layers else []
        layers += (first + ["dropout"] * missing)[:missing]
        layers.append(layer.kind)
    return tuple(layers)


def _by_module(tensors: Mapping[str, torch.Tensor]) -> dict[str, dict[str, torch.Tensor]]:
    modules: dict[str, dict[str, torch.Tensor]] = {}
    for key, value in tensors.items():
        place, _, name = key.rpartition(".")
        modules.setdefault(place, {})[name] = value
    return modules


def _layer(place: str, tensors: Mapping[str, torch.Tensor]) -> LayerWeights | None:
    last = place.rpartition(".")[-1]
    position = int(last) if last.isdigit() else None
    names = set(tensors) - {"num_batches_tracked"}
    ranks = {name: tensors[name].ndim for name in names}
    if names <= {"weight", "bias"} and ranks.get("weight") == 2:
        return LayerWeights("linear", position, tensors)
    if {"running_mean", "running_var"} <= names and set(ranks.values()) == {1}:
        return LayerWeights("batch-norm", position, tensors)
    if names == {"weight", "bias"} and set(ranks.values()) == {1}:
        return LayerWeights("layer-norm", position, tensors)
    return None


def _parent(place: str) -> str:
    return place.rpartition(".")[0]


def _fit_together(layers: Sequence[LayerWeights]) -> bool:
    return all(one.outputs == other.inputs for one, other in pairwise(layers))
