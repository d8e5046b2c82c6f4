"""Detectors as projects build them around a backbone, in plain PyTorch, and how each one saves them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class Wrapped(nn.Module):
    """A backbone that gives features, and a classifier; both under names of the project's choice."""

    def __init__(self, backbone: nn.Module, backbone_name: str, head: nn.Module, head_name: str) -> None:
        super().__init__()
        self.add_module(backbone_name, backbone)
        self.add_module(head_name, head)
        self._names = backbone_name, head_name

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Returns logits (N, classes)."""
        backbone, head = (getattr(self, name) for name in self._names)
        features = backbone.forward_head(backbone.forward_features(images), pre_logits=True)
        logits: torch.Tensor = head(features)
        return logits


def mlp(features: int, outputs: int, activation: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    """Returns a classifier as vky6366 builds it: Dropout, Linear, BatchNorm1d, activation, Dropout, Linear."""
    return nn.Sequential(
        nn.Dropout(0.4),
        nn.Linear(features, 16),
        nn.BatchNorm1d(16),
        activation(),
        nn.Dropout(0.2),
        nn.Linear(16, outputs),
    )


def randomized(module: nn.Module, seed: int) -> nn.Module:
    """Gives every tensor random values that matter, batch-norm statistics too; returns it in eval mode."""
    generator = torch.Generator().manual_seed(seed)

    def draw(values: torch.Tensor | None, spread: float, center: float = 0.0) -> None:
        if values is not None:
            noise = torch.rand(values.shape, generator=generator) * 2 - 1
            values.detach().copy_(center + spread * noise)

    for layer in module.modules():
        if isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d)):
            draw(layer.weight, 0.5, 1.0)
            draw(layer.running_mean, 0.5)
            draw(layer.running_var, 0.5, 1.0)
            draw(layer.bias, 0.5)
        elif isinstance(layer, nn.Linear):
            draw(layer.weight, 1.7 * layer.in_features**-0.5)
            draw(layer.bias, 0.5)
    return module.eval()


def fake_logit(answer: torch.Tensor, fake_index: int = 1) -> torch.Tensor:
    """Returns the logit of the probability of fake (N,), from logits (N, 1) or (N, 2), by softmax and sigmoid."""
    answer = answer.double()
    if answer.shape[1] == 2:
        return torch.logit(torch.softmax(answer, dim=1)[:, fake_index])
    probability = torch.sigmoid(answer[:, 0])
    return torch.logit(probability if fake_index else 1 - probability)


def prefixed(state: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """Returns a state dict with something in front of every key."""
    return {prefix + key: value for key, value in state.items()}


SAVINGS: dict[str, Callable[[Mapping[str, torch.Tensor]], object]] = {
    "bare": lambda state: state,
    "DataParallel": lambda state: {"epoch": 1, "state_dict": prefixed(state, "module.")},
    "torch.compile in DataParallel": lambda state: {"model": prefixed(state, "module._orig_mod.")},
    "Lightning": lambda state: {"state_dict": prefixed(state, "model."), "hyper_parameters": {"lr": 0.1}},
}
