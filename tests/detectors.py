"""Small detectors for tests: real timm networks with weights that make every layer matter."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from safetensors.torch import save_file
from torch import nn

from export.checkpoint import Detector
from export.checkpoints.network import module_from_contract
from export.contract import InputContract, ModelContract
from export.model_file import toml_from_contract

if TYPE_CHECKING:
    from pathlib import Path

TINY = "test_efficientnet"


def contract_for_tests(architecture: str = TINY, size: int = 64, **changes: object) -> ModelContract:
    """Returns a contract of a small network."""
    return ModelContract(architecture, InputContract(size), **changes)  # type: ignore[arg-type]


def randomized_module(contract: ModelContract, seed: int = 0) -> nn.Module:
    """Builds a network with random weights and batch-norm statistics that are not the identity."""
    torch.manual_seed(seed)
    module = module_from_contract(contract)
    generator = torch.Generator().manual_seed(seed)
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            assert layer.running_mean is not None
            assert layer.running_var is not None
            layer.weight.data.uniform_(0.9, 1.1, generator=generator)
            layer.bias.data.normal_(0, 0.1, generator=generator)
            layer.running_mean.normal_(0, 0.1, generator=generator)
            layer.running_var.uniform_(0.8, 1.2, generator=generator)
    return module.eval()


def random_detector(seed: int = 0, architecture: str = TINY, size: int = 64) -> Detector:
    """Returns a detector with random weights."""
    contract = contract_for_tests(architecture, size)
    return Detector(randomized_module(contract, seed), contract, sha256="0" * 64)


def write_checkpoint(folder: Path, contract: ModelContract, seed: int = 0) -> Path:
    """Writes `checkpoint.safetensors` and `model.toml`, as a user would have them."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "checkpoint.safetensors"
    save_file(randomized_module(contract, seed).state_dict(), path)
    (folder / "model.toml").write_text(toml_from_contract(contract), encoding="utf-8")
    return path
