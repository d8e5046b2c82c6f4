"""The classifier at the end of a network: rebuilt from its weights as one logit that is positive for fake.

What does nothing at inference or to the order of scores is left out: dropout, a last sigmoid or softmax. Batch norm
beside a linear layer is folded into it. What remains is a linear layer, or an `nn.Sequential` whose last layer is one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from export.checkpoints.head_choice import require_declared_layers
from export.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from export.checkpoints.head_weights import HeadWeights, LayerWeights
    from export.contract import HeadLayer, ModelContract

_EPSILON = 1e-5  # of nn.BatchNorm1d and nn.LayerNorm, unless somebody changed it
_ACTIVATIONS: Mapping[HeadLayer, type[nn.Module]] = {
    "relu": nn.ReLU,
    "leaky-relu": nn.LeakyReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}


def head_from_weights(head: HeadWeights, contract: ModelContract) -> nn.Module:
    """Builds the classifier (N, features) -> (N, 1), whose output is the logit of "fake".

    For two logits that is their margin, z_fake - z_real, whose sigmoid equals the softmax probability of fake.

    Args:
        head: Its weights, with as many outputs as the contract declares.
        contract: Declares its layers, and which class is fake.

    Raises:
        CheckpointError: The declared layers are not those of the weights, or make no logits.
    """
    require_declared_layers(head, contract)
    declared: tuple[HeadLayer, ...] = contract.head_layers or ("linear",)
    _require_logits(declared, contract)
    weights = iter(head.layers)
    layers = _with_folded_norms(
        [
            _ACTIVATIONS[kind]() if kind in _ACTIVATIONS else _layer_from_weights(next(weights))
            for kind in _computing(declared)
        ]
    )
    layers[-1] = _fake_logit(layers[-1], contract)
    if any(isinstance(layer, nn.BatchNorm1d) for layer in layers):
        raise CheckpointError(
            f"the classifier {head.key} has a batch norm beside no linear layer; expected it before or after one"
        )
    return layers[0] if len(layers) == 1 else nn.Sequential(*layers)


def canonical_layers(declared: tuple[HeadLayer, ...]) -> tuple[HeadLayer, ...]:
    """Returns the layers of the classifier that `head_from_weights` builds; empty for one linear layer."""
    layers = [
        kind
        for kind in _computing(declared)
        if kind != "batch-norm"  # it is folded or refused
    ]
    return () if layers == ["linear"] else tuple(layers)


def classifier_of(module: nn.Module, contract: ModelContract) -> nn.Linear:
    """Returns the linear layer that makes a timm network's logits: its classifier, or the last layer of that.

    Raises:
        CheckpointError: The logits are made otherwise.
    """
    classifier = module.get_classifier()  # type: ignore[operator]  # a method of every timm model
    last = classifier[-1] if isinstance(classifier, nn.Sequential) else classifier
    if not isinstance(last, nn.Linear):
        raise CheckpointError(
            f"the classifier of {contract.architecture} is a {type(last).__name__}; expected a linear layer at the end"
        )
    return last


def classifier_name(module: nn.Module, architecture: str) -> str:
    """Returns the name of a timm network's classifier among its modules.

    Raises:
        CheckpointError: It has no single linear layer there.
    """
    classifier = module.get_classifier()  # type: ignore[operator]  # as above
    if not isinstance(classifier, nn.Linear):
        raise CheckpointError(
            f"the classifier of {architecture} is a {type(classifier).__name__}; expected one linear layer"
        )
    return next(str(name) for name, layer in module.named_modules() if layer is classifier)


def _computing(declared: tuple[HeadLayer, ...]) -> list[HeadLayer]:
    layers: list[HeadLayer] = [kind for kind in declared if kind != "dropout"]
    return layers[:-1] if layers and layers[-1] in ("sigmoid", "softmax") else layers


def _require_logits(declared: tuple[HeadLayer, ...], contract: ModelContract) -> None:
    told = f"head_layers = {', '.join(declared)}"
    computing = _computing(declared)
    if not computing or computing[-1] != "linear":
        raise CheckpointError(
            f"{told}: a linear layer makes the logits; expected it last, or before sigmoid or softmax"
        )
    if "softmax" in computing:
        raise CheckpointError(f"{told}: softmax lies between layers; expected it last")
    if declared[-1] == "softmax" and contract.head == "one-logit":
        raise CheckpointError(f"{told}: the softmax of one output is always 1; declare sigmoid, or two-logits")
    if declared[-1] == "sigmoid" and contract.head == "two-logits":
        raise CheckpointError(
            f"{told}: two outputs with a sigmoid each are two probabilities that need not add up to 1 and have no "
            "common logit; train with one output, or with softmax"
        )


def _layer_from_weights(layer: LayerWeights) -> nn.Module:
    tensors = layer.tensors
    built: nn.Linear | nn.BatchNorm1d | nn.LayerNorm
    if layer.kind == "linear":
        built = nn.Linear(layer.inputs, layer.outputs)
    elif layer.kind == "batch-norm":
        built = nn.BatchNorm1d(layer.outputs, _EPSILON)
    else:
        built = nn.LayerNorm(layer.outputs, _EPSILON)
    with torch.no_grad():
        for name, value in built.state_dict().items():
            value.copy_(tensors.get(name, torch.ones_like(value) if name == "weight" else torch.zeros_like(value)))
    return built.eval()


def _with_folded_norms(layers: list[nn.Module]) -> list[nn.Module]:
    folded: list[nn.Module] = []
    pending: nn.BatchNorm1d | None = None
    for layer in layers:
        if isinstance(layer, nn.BatchNorm1d):
            if folded and isinstance(folded[-1], nn.Linear):
                folded[-1] = _folded_after(folded[-1], layer)
            elif pending is None:
                pending = layer
            else:
                folded.append(layer)
        elif pending is not None and isinstance(layer, nn.Linear):
            folded.append(_folded_before(pending, layer))
            pending = None
        else:
            folded += [layer] if pending is None else [pending, layer]
            pending = None
    return folded


def _scale_and_shift(norm: nn.BatchNorm1d) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns float64 s and t of the batch norm x -> s x + t."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight.detach().double() / (norm.running_var.double() + norm.eps).sqrt()
    return scale, norm.bias.detach().double() - norm.running_mean.double() * scale


def _folded_after(linear: nn.Linear, norm: nn.BatchNorm1d) -> nn.Linear:
    scale, shift = _scale_and_shift(norm)
    return _linear(linear.weight.detach().double() * scale[:, None], linear.bias.detach().double() * scale + shift)


def _folded_before(norm: nn.BatchNorm1d, linear: nn.Linear) -> nn.Linear:
    scale, shift = _scale_and_shift(norm)
    weight = linear.weight.detach().double()
    return _linear(weight * scale[None], linear.bias.detach().double() + weight @ shift)


def _fake_logit(layer: nn.Module, contract: ModelContract) -> nn.Linear:
    assert isinstance(layer, nn.Linear)
    sign = 1.0 if contract.fake_index == 1 else -1.0
    weight, bias = layer.weight.detach(), layer.bias.detach()
    if contract.head == "two-logits":
        weight, bias = weight[1:2] - weight[0:1], bias[1:2] - bias[0:1]
    return _linear(sign * weight, sign * bias)


def _linear(weight: torch.Tensor, bias: torch.Tensor) -> nn.Linear:
    linear = nn.Linear(weight.shape[1], weight.shape[0])
    with torch.no_grad():
        linear.weight.copy_(weight)
        linear.bias.copy_(bias)
    return linear
