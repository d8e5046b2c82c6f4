"""From a checkpoint file to a detector with one fake logit: safe load, 100 % key coverage, or an error."""

from __future__ import annotations

import difflib
import pickle
import struct
import warnings
import zipfile
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from export.errors import CheckpointError
from export.narrowing import narrow_to_weights
from export.sidecar import sha256_of_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from export.contract import ModelContract

EMA_WRAPPERS = ("state_dict_ema", "model_ema", "ema_state_dict", "ema")
WRAPPERS = (*EMA_WRAPPERS, "state_dict", "model_state_dict", "model", "net")
# What torch and safetensors raise on files that are damaged or something else altogether.
_LOADING_ERRORS = (
    SafetensorError,
    RuntimeError,
    EOFError,
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    struct.error,
    zipfile.BadZipFile,
)
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
    if not path.is_file():
        raise CheckpointError(f"no checkpoint at {path}")
    wrapper, weights = _unwrapped(_load(path), path)
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


def module_from_contract(contract: ModelContract) -> nn.Module:
    """Builds the untrained timm network with the head that the contract declares.

    Raises:
        CheckpointError: timm knows no such architecture.
    """
    require_known_architecture(contract)
    outputs = 1 if contract.head == "one-logit" else 2
    return cast("nn.Module", timm.create_model(contract.architecture, pretrained=False, num_classes=outputs))


def require_known_architecture(contract: ModelContract) -> None:
    """Refuses a name that timm does not know.

    Raises:
        CheckpointError: timm knows no such architecture; the message lists similar names.
    """
    if not timm.is_model(contract.architecture):
        close = difflib.get_close_matches(contract.architecture, timm.list_models(), n=3)
        hint = f"; did you mean {', '.join(close)}?" if close else ""
        raise CheckpointError(
            f"unknown architecture {contract.architecture!r}; expected a timm {timm.__version__} model name{hint}"
        )


def with_fake_logit(module: nn.Module, contract: ModelContract) -> nn.Module:
    """Rewrites the classifier so that its single output is the logit of "fake".

    For two logits that is their margin, z_fake - z_real, whose sigmoid equals the softmax probability of fake.
    """
    if contract.head == "one-logit" and contract.fake_index == 1:
        return module
    trained = classifier_of(module, contract)
    sign = 1.0 if contract.fake_index == 1 else -1.0
    weight, bias = trained.weight.detach().clone(), trained.bias.detach().clone()
    if contract.head == "two-logits":
        weight, bias = weight[1:2] - weight[0:1], bias[1:2] - bias[0:1]
        module.reset_classifier(1)  # type: ignore[operator]  # a method of every timm model, unknown to nn.Module
    rewritten = classifier_of(module, contract)
    with torch.no_grad():
        rewritten.weight.copy_(sign * weight)
        rewritten.bias.copy_(sign * bias)
    return module


def classifier_of(module: nn.Module, contract: ModelContract) -> nn.Linear:
    """Returns a timm network's last layer.

    Raises:
        CheckpointError: It is not one linear layer.
    """
    classifier = module.get_classifier()  # type: ignore[operator]  # as above
    if not isinstance(classifier, nn.Linear):
        raise CheckpointError(
            f"the classifier of {contract.architecture} is a {type(classifier).__name__}; expected one linear layer"
        )
    return classifier


def _load(path: Path) -> Any:
    if path.stat().st_size == 0:
        raise CheckpointError(f"{path} is empty; copy the checkpoint again")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about pickle protocols, which no user can choose afterwards
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = " ".join(str(error).split())
        if "GLOBAL" in reason or "Unsupported class" in reason:
            raise CheckpointError(
                f"{path} holds pickled Python objects, which could run code and are refused; load it where it was "
                "trained and save model.state_dict() instead"
            ) from error
        raise CheckpointError(f"{path} is damaged or not a checkpoint; copy it again") from error
    except _LOADING_ERRORS as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(f"{path} is damaged or not a checkpoint ({reason[:120]}); copy it again") from error


def _unwrapped(loaded: Any, path: Path) -> tuple[str, dict[str, torch.Tensor]]:
    if not isinstance(loaded, dict):
        raise CheckpointError(f"{path} holds a {type(loaded).__name__}; expected a state dict")
    wrapper = next((key for key in WRAPPERS if isinstance(loaded.get(key), dict)), "")
    inner = loaded[wrapper] if wrapper else loaded
    weights = {str(key): value for key, value in inner.items() if isinstance(value, torch.Tensor)}
    if not weights:
        raise CheckpointError(f"{path} holds no tensors under {_some(inner)}; expected a state dict")
    return wrapper, weights


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
            f"{_some(missing)}, {len(unexpected)} unexpected{_some(unexpected)}; check "
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
            f"shape{_some(misshapen)}; check architecture and head in model.toml"
        )
    not_finite = [key for key, value in weights.items() if not bool(torch.isfinite(value).all())]
    if not_finite:
        raise CheckpointError(f"{path} holds NaN or infinity{_some(not_finite)}; use an earlier checkpoint")
    module.load_state_dict(dict(weights), strict=False)


def _some(names: Any, count: int = 4) -> str:
    listed = list(names)
    more = ", ..." if len(listed) > count else ""
    return f" ({', '.join(map(str, listed[:count]))}{more})" if listed else ""
