"""FP32 graphs of small detectors, each exported once per session: the exporter takes seconds for the smallest network.

What the exporter does is tested with `export.onnx_from_torch` itself.
"""

from __future__ import annotations

import fcntl
import hashlib
from typing import TYPE_CHECKING

import onnx
from safetensors.torch import save

import engines.stages
from export.onnx_from_torch import onnx_from_torch
from export.sidecar import write_atomically

if TYPE_CHECKING:
    from pathlib import Path

    from export.checkpoint import Detector

_folders: list[Path] = []


def share_exports(folder: Path) -> None:
    """Names the folder that all processes of a session keep graphs in, and lets commands in this one use it."""
    folder.mkdir(exist_ok=True)
    _folders[:] = [folder]
    engines.stages.onnx_from_torch = exported


def shared_exports() -> Path:
    """Returns that folder."""
    return _folders[0]


def exported(detector: Detector) -> onnx.ModelProto:
    """Returns what `onnx_from_torch` makes of a detector, found by all that it looks at; it belongs to the caller."""
    digest = hashlib.sha256(f"{detector.contract.network_json()} {detector.module!r}".encode())
    digest.update(save({key: value.contiguous() for key, value in detector.module.state_dict().items()}))
    path = _folders[0] / digest.hexdigest()
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # one process exports, the others wait for it
        if not path.exists():
            with write_atomically(path) as temporary:
                temporary.write_bytes(onnx_from_torch(detector).SerializeToString())
    return onnx.ModelProto.FromString(path.read_bytes())
