"""Networks of other kinds than EfficientNet, small and with weights that make every layer matter."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from export.checkpoint import Detector
from tests.detectors import contract_for_tests, randomized_module

if TYPE_CHECKING:
    from export.contract import ModelContract


def randomized_network(contract: ModelContract, seed: int = 0) -> nn.Module:
    """Builds a network whose normalizations, biases and layer scales are not those of initialization."""
    module = randomized_module(contract, seed)
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in module.named_parameters():
        if name.endswith("gamma"):  # a layer scale starts so small that its branch adds nothing
            parameter.data.uniform_(0.3, 1.0, generator=generator)
        elif parameter.ndim == 1 and name.endswith("bias"):
            parameter.data.normal_(0, 0.1, generator=generator)
    for layer in module.modules():
        if isinstance(layer, nn.LayerNorm):
            layer.weight.data.uniform_(0.7, 1.3, generator=generator)
    return module.eval()


def other_detector(architecture: str, size: int, seed: int = 0) -> Detector:
    """Returns a detector with random weights."""
    contract = contract_for_tests(architecture, size)
    return Detector(randomized_network(contract, seed), contract, sha256="0" * 64)
