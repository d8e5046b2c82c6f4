"""From a checkpoint file to a detector with one fake logit: safe load, 100 % key coverage, or an error."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from export.errors import CheckpointError
from export.head import with_fake_logit
from export.narrowing import narrow_to_weights
from export.network import module_from_contract
from export.sidecar import sha256_of_file
from export.weights_file import some, weights_from_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import nn

    from export.contract import ModelContract

_PARALLEL_PREFIXES = ("module.", "_orig_mod.")
_COUNTER = "num_batches_tracked"


@dataclass(frozen=True)
class Detector:
    """A detector in eval mode whose only output is the fake logit.

    Attributes:
        module: Maps float32 images (N, 3, size, size) to fake logits (N, 1).
        contract: The model file's declaration, with the head rewritten to one logit that is positive for fake.
        sha256: Digest of the weights' file.
        wrapper: Key of the checkpoint under which the weights lay; empty for a bare state dict.
        prefix: Prefix stripped from every key.
        parameter_count: Number of trainable parameters.
    """

    module: nn.Module
    contract: ModelContract
    sha256: str
    wrapper: str = ""
    prefix: str = ""

    @property
    def parameter_count(self) -> int:
        """Number of trainable parameters."""
        return sum(parameter.numel() for parameter in self.module.parameters())


def detector_from_checkpoint(path: Path, contract: ModelContract, *, narrowed: bool = False) -> Detector:
    """Loads a safetensors file or a PyTorch checkpoint without executing anything in it.

    Args:
        path: A bare state dict or one wrapped as `state_dict`, `model`, `net`, `model_state_dict` or an EMA of
            them (an EMA wins, as in timm); DataParallel and torch.compile prefixes are removed.
        contract: Declares the architecture and the head.
        narrowed: Whether the network may have lost channels, as structured pruning leaves it.

    Raises:
        CheckpointError: The file is missing, damaged or holds pickled code, the architecture is unknown, or any
            tensor is missing, left over or of another shape.
    """
    wrapper, weights = weights_from_file(path)
    module = module_from_contract(contract)
    prefix = _prefix_at_stem(weights, module)
    weights = {key.removeprefix(prefix): value for key, value in weights.items()}
    if narrowed:
        narrow_to_weights(module, weights)
    _load_strictly(module, weights, path, contract)
    module = with_fake_logit(module, contract).eval()
    return Detector(module, canonical_contract(contract), sha256_of_file(path), wrapper, prefix)


def canonical_contract(contract: ModelContract) -> ModelContract:
    """Returns the contract of the loaded detector: one logit, positive for fake."""
    return replace(contract, head="one-logit", fake_index=1)


def _prefix_at_stem(weights: Mapping[str, torch.Tensor], module: nn.Module) -> str:
    """Finds the wrapper prefix of the keys where the network's first weight stands."""
    stem = next(iter(module.state_dict()))
    holders = [key.removesuffix(stem) for key in weights if key == stem or key.endswith(f".{stem}")]
    if len(holders) == 1:
        return holders[0]
    parallel = [prefix for prefix in _PARALLEL_PREFIXES if all(key.startswith(prefix) for key in weights)]
    return parallel[0] if parallel else ""


def _load_strictly(module: nn.Module, weights: Mapping[str, torch.Tensor], path: Path, contract: ModelContract) -> None:
    expected = module.state_dict()
    missing = [key for key in expected if key not in weights and not key.endswith(_COUNTER)]
    unexpected = [key for key in weights if key not in expected]
    if missing or unexpected:
        raise CheckpointError(
            f"{path} does not fit {contract.architecture} with {contract.head}: {len(missing)} tensors missing"
            f"{some(missing)}, {len(unexpected)} unexpected{some(unexpected)}; check "
            "architecture and head in model.toml"
        )
    misshapen = [
        f"{key} is {tuple(value.shape)} instead of {tuple(expected[key].shape)}"
        for key, value in weights.items()
        if value.shape != expected[key].shape
    ]
    if misshapen:
        raise CheckpointError(
            f"{path} does not fit {contract.architecture} with {contract.head}: {len(misshapen)} tensors of another "
            f"shape{some(misshapen)}; check architecture and head in model.toml"
        )
    not_finite = [key for key, value in weights.items() if not bool(torch.isfinite(value).all())]
    if not_finite:
        raise CheckpointError(f"{path} holds NaN or infinity{some(not_finite)}; use an earlier checkpoint")
    module.load_state_dict(dict(weights), strict=False)
