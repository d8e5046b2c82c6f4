"""Tensors of a checkpoint file, read without executing anything in it."""

from __future__ import annotations

import pickle
import struct
import warnings
import zipfile
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from export.errors import CheckpointError

if TYPE_CHECKING:
    from pathlib import Path

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


def weights_from_file(path: Path) -> tuple[str, dict[str, torch.Tensor]]:
    """Returns the key of the checkpoint under which the weights lie, empty for a bare state dict, and the weights.

    Raises:
        CheckpointError: The file is missing, damaged, holds pickled code or no tensors.
    """
    if not path.is_file():
        raise CheckpointError(f"no checkpoint at {path}")
    return _unwrapped(_load(path), path)


def some(names: Any, count: int = 4) -> str:
    """Returns the first of some names in parentheses, with dots if there are more; empty for none."""
    listed = list(names)
    more = ", ..." if len(listed) > count else ""
    return f" ({', '.join(map(str, listed[:count]))}{more})" if listed else ""


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
        raise CheckpointError(f"{path} holds no tensors under {some(inner)}; expected a state dict")
    return wrapper, weights
