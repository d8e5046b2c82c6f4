"""Gives a freshly built network the shapes of weights from which channels were removed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Mapping


def narrow_to_weights(module: nn.Module, weights: Mapping[str, torch.Tensor]) -> None:
    """Makes convolutions, linear layers and batch norms as narrow as their weights, in place and without values.

    A layer whose weight is missing, of another rank or wider than the layer is left as it is, for the strict loading
    that follows to complain about.

    Args:
        module: A network with all its channels.
        weights: State dict of the same network with fewer channels.
    """
    for name, layer in module.named_modules():
        weight = weights.get(f"{name}.weight")
        if weight is None or not isinstance(layer, (nn.Conv2d, nn.Linear, nn.BatchNorm2d)):
            continue
        own = tuple(layer.weight.shape)
        wanted = tuple(weight.shape)
        if own != wanted and len(own) == len(wanted) and all(new <= old for new, old in zip(wanted, own, strict=True)):
            _narrow(layer, wanted)


def _narrow(layer: nn.Conv2d | nn.Linear | nn.BatchNorm2d, shape: tuple[int, ...]) -> None:
    if isinstance(layer, nn.BatchNorm2d):
        layer.num_features = shape[0]
        layer.running_mean = torch.zeros(shape[0])
        layer.running_var = torch.ones(shape[0])
    elif isinstance(layer, nn.Linear):
        layer.out_features, layer.in_features = shape
    else:
        # In a depthwise convolution every channel is a group; other grouped convolutions keep their channels.
        layer.groups = shape[0] if layer.groups == layer.out_channels else layer.groups
        layer.out_channels, layer.in_channels = shape[0], shape[1] * layer.groups
    layer.weight = nn.Parameter(torch.empty(shape))
    if layer.bias is not None:
        layer.bias = nn.Parameter(torch.empty(shape[0]))
