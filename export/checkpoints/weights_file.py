"""Tensors of a checkpoint file, read without executing anything in it."""

from __future__ import annotations

import argparse
import datetime as dt
import pathlib
import pickle
import struct
import types
import warnings
import zipfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from export.checkpoints.file_kind import FileKind, kind_of_file
from export.checkpoints.pickle_protocol import understood_by_torch
from export.checkpoints.pickled_code import advice_on_pickle
from export.checkpoints.wrappers import unwrapped
from export.errors import CheckpointError

if TYPE_CHECKING:
    from pathlib import Path

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
    AssertionError,
    OverflowError,
    MemoryError,
    struct.error,
    zipfile.BadZipFile,
)
# What torch says of a pickle that is whole and holds more than tensors.
_OBJECTS_REFUSED = ("GLOBAL", "Unsupported class", "Unsupported operand", "Trying to", "Can only")


def _plain_dict(*_: Any) -> dict[Any, Any]:
    """Stands for `defaultdict`, which torch's safe loading cannot fill."""
    return {}


# How NumPy pickles its numbers and arrays; its modules were renamed in version 2.
_NUMPY_MODULES = ("numpy.core", "numpy._core")
_NUMPY_FUNCTIONS = {
    "multiarray.scalar": np.float64(0).__reduce__()[0],
    "multiarray._reconstruct": np.zeros(1).__reduce__()[0],
    "numeric._frombuffer": np.zeros(1).__reduce_ex__(5)[0],
}
# What scripts save beside the weights and what does nothing but hold values: settings, scores, paths.
_HARMLESS: tuple[Any, ...] = (
    argparse.Namespace,
    types.SimpleNamespace,
    dict,
    float,
    int,
    list,
    set,
    frozenset,
    (_plain_dict, "collections.defaultdict"),
    pathlib.PosixPath,
    pathlib.PurePosixPath,
    (pathlib.PosixPath, "pathlib._local.PosixPath"),
    (pathlib.PosixPath, "pathlib.WindowsPath"),
    pathlib.PureWindowsPath,
    dt.date,
    dt.datetime,
    dt.timedelta,
    dt.timezone,
    (np.dtype, "numpy.dtype"),
    *((function, f"{module}.{name}") for module in _NUMPY_MODULES for name, function in _NUMPY_FUNCTIONS.items()),
    np.ndarray,
    *(type(np.dtype(code)) for code in ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?")),
    *(type(np.dtype(code)) for code in ("c8", "c16", "S", "U", "M8", "m8")),
)
# What a profiler (thop) leaves in the state dict of every module that it counted.
_COUNTS = ("total_ops", "total_params")
# What quantized and quantization-aware layers keep beside their weights.
_ZERO_POINT = "zero_point"


@dataclass(frozen=True)
class StoredWeights:
    """What a checkpoint file holds.

    Attributes:
        kind: How it is stored.
        wrapper: Keys under which the weights lie, joined by dots; empty for a bare state dict.
        tensors: Name -> tensor; floating-point ones in float32.
        dtypes: Floating-point type -> number of tensors stored in it.
        beside: Keys of what else the file holds.
        notes: What a user should know of how it was read.
    """

    kind: FileKind
    wrapper: str
    tensors: dict[str, torch.Tensor]
    dtypes: tuple[tuple[str, int], ...]
    beside: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def weights_from_file(path: Path) -> StoredWeights:
    """Reads the weights of a safetensors file or of what `torch.save` wrote.

    Raises:
        CheckpointError: The file is missing, damaged, something else, holds pickled code, quantized or no tensors.
    """
    kind = kind_of_file(path)
    loaded = _load(path, kind)
    if not isinstance(loaded, Mapping):
        raise CheckpointError(f"{path} holds a {type(loaded).__name__}; expected a state dict")
    found = unwrapped(loaded)
    if not found.tensors:
        under = f" under{some(loaded)}" if loaded else ""
        raise CheckpointError(f"{path} holds no tensors{under}; expected a state dict")
    counts = [key for key in found.tensors if _last(key) in _COUNTS]
    held = {key: value for key, value in found.tensors.items() if _last(key) not in _COUNTS}
    tensors = {key: _in_float32(key, value, path) for key, value in held.items()}
    dtypes = Counter(str(t.dtype).removeprefix("torch.") for t in held.values() if t.is_floating_point())
    notes = [*found.notes]
    if counts:
        notes.append(f"leaves out {len(counts)} counts of a profiler{some(counts, 2)}")
    for name, count in dtypes.items():
        if name != "float32":
            notes.append(f"{count} tensors stored in {name} are read as float32")
    return StoredWeights(kind, found.wrapper, tensors, tuple(sorted(dtypes.items())), found.beside, tuple(notes))


def some(names: Any, count: int = 4) -> str:
    """Returns the first of some names in parentheses, with dots if there are more; empty for none."""
    listed = list(names)
    more = ", ..." if len(listed) > count else ""
    return f" ({', '.join(map(str, listed[:count]))}{more})" if listed else ""


def _load(path: Path, kind: FileKind) -> Any:
    with torch.serialization.safe_globals(list(_HARMLESS)):
        try:
            if kind == "safetensors":
                return load_file(path)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about types of storages, which nobody can choose afterwards
                return torch.load(understood_by_torch(path), map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            reason = " ".join(str(error).split())
            if any(told in reason for told in _OBJECTS_REFUSED):
                raise CheckpointError(f"{path} {advice_on_pickle(path)}") from error
            raise CheckpointError(f"{path} is damaged or not a checkpoint; copy it again") from error
        except _LOADING_ERRORS as error:
            reason = " ".join(str(error).split())
            raise CheckpointError(f"{path} is damaged or not a checkpoint ({reason[:120]}); copy it again") from error


def _in_float32(key: str, tensor: torch.Tensor, path: Path) -> torch.Tensor:
    is_whole = not tensor.is_floating_point() and not tensor.is_complex()
    is_rounded = _last(key) == _ZERO_POINT or (is_whole and key.endswith((".weight", ".bias")))
    if tensor.is_quantized or is_rounded or (tensor.dtype.itemsize == 1 and tensor.is_floating_point()):
        raise CheckpointError(
            f"{path} holds quantized weights ({key} is {tensor.dtype}); pass the float checkpoint, build-engines "
            "quantizes it by itself"
        )
    if tensor.is_complex() or tensor.layout is not torch.strided or tensor.is_meta:
        raise CheckpointError(
            f"{path}: {key} is a tensor of {tensor.dtype}, {tensor.layout} on {tensor.device}; expected dense "
            "real numbers"
        )
    return tensor.detach().float() if tensor.is_floating_point() else tensor


def _last(key: str) -> str:
    return key.rpartition(".")[-1]
