"""What a file is by its first bytes, so that one that is no checkpoint is called by its name."""

from __future__ import annotations

import json
import re
import zipfile
from typing import TYPE_CHECKING, Literal

from export.errors import CheckpointError

if TYPE_CHECKING:
    from pathlib import Path

FileKind = Literal["safetensors", "PyTorch zip", "PyTorch pickle"]

_SHARD = re.compile(r"-0*(\d+)-of-0*(\d+)\.")
_HEAD_BYTES = 4096
_LONGEST_SAFETENSORS_HEADER = 100_000_000  # as safetensors itself has it
_ARCHIVES = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"(\xb5/\xfd": "zstandard",
    b"7z\xbc\xaf\x27\x1c": "7-Zip",
    b"Rar!": "RAR",
}
_OTHERS = {
    b"\x89HDF\r\n\x1a\n": "is an HDF5 file, as Keras writes; expected PyTorch weights",
    b"ptrt": "is a TensorRT engine; expected the PyTorch weights that it was built from",
    b"ftrt": "is a TensorRT engine; expected the PyTorch weights that it was built from",
    b"GGUF": "is a GGUF file; expected PyTorch weights",
    b"\x93NUMPY": "is a NumPy array; expected PyTorch weights",
}
_ONNX_START = re.compile(rb"\x08[\x01-\x1f][\x12\x1a\x22\x2a\x32\x3a\x42]")


def kind_of_file(path: Path) -> FileKind:
    """Returns how a checkpoint is stored.

    Raises:
        CheckpointError: The file is missing, cut off, or something else; the message says what to do.
    """
    if path.is_dir():
        raise CheckpointError(f"{path} is a folder; pass the file of weights in it, all of them in one file")
    if not path.is_file():
        raise CheckpointError(f"no checkpoint at {path}; pass the file that the training script wrote")
    shard = _SHARD.search(path.name)
    if shard and int(shard[2]) > 1:
        raise CheckpointError(
            f"{path} is one of {int(shard[2])} parts of a sharded checkpoint; load the whole model where it was "
            "trained and save model.state_dict() to one file"
        )
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    size = path.stat().st_size
    if size == 0:
        raise CheckpointError(f"{path} is empty; copy the checkpoint again")
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= _LONGEST_SAFETENSORS_HEADER:
        _require_whole_safetensors(path, size)
        return "safetensors"
    _refuse_text(head, path)
    _refuse_other_formats(head, path)
    if path.suffix == ".safetensors":
        raise CheckpointError(f"{path} is damaged or not a safetensors file; copy it again")
    if head.startswith(b"PK\x03\x04"):
        _require_torch_zip(path, size)
        return "PyTorch zip"
    if head.startswith(b"\x80") and head[1:2] <= b"\x05":
        return "PyTorch pickle"
    raise CheckpointError(f"{path} is damaged or not a checkpoint: it begins with {head[:12]!r}; copy it again")


def _refuse_text(head: bytes, path: Path) -> None:
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith(b"version https://git-lfs"):
        raise CheckpointError(f"{path} is a Git LFS pointer, not the weights; run: git lfs pull")
    if text.startswith((b"<!doctype", b"<html", b"<?xml")):
        raise CheckpointError(
            f"{path} is a web page, as a download that asks for a confirmation leaves it; download the file itself"
        )
    if text.startswith((b"{", b"[")):
        indexed = "an index of a sharded checkpoint" if b"weight_map" in head else "JSON text"
        raise CheckpointError(f"{path} is {indexed}; pass the file that holds the weights, all of them in one")


def _refuse_other_formats(head: bytes, path: Path) -> None:
    for magic, name in _ARCHIVES.items():
        if head.startswith(magic):
            raise CheckpointError(f"{path} is compressed ({name}); unpack it and pass the file within")
    if head[257:262] == b"ustar":
        raise CheckpointError(f"{path} is a tar archive; unpack it and pass the file of weights within")
    for magic, told in _OTHERS.items():
        if head.startswith(magic):
            raise CheckpointError(f"{path} {told}")
    if head[4:8] == b"TFL3":
        raise CheckpointError(f"{path} is a TensorFlow Lite model; expected PyTorch weights")
    if path.suffix == ".onnx" or _ONNX_START.match(head):
        raise CheckpointError(f"{path} is an ONNX graph; expected the PyTorch weights that it was exported from")


def _require_whole_safetensors(path: Path, size: int) -> None:
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = file.read(length)
    expected = 8 + length
    if len(header) == length:
        try:
            entries = json.loads(header)
            ends = [entry["data_offsets"][1] for key, entry in entries.items() if key != "__metadata__"]
            expected += max(ends, default=0)
        except (ValueError, LookupError, TypeError, AttributeError):
            raise CheckpointError(f"{path} is damaged: its header is no safetensors header; copy it again") from None
    if size < expected:
        raise CheckpointError(f"{path} is cut off: {size} of {expected} bytes; download or copy it again")


def _require_torch_zip(path: Path, size: int) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        raise CheckpointError(f"{path} is cut off or damaged ({size} bytes); download or copy it again") from None
    files = {name.split("/", 1)[-1] for name in names}
    if "constants.pkl" in files or any(name.startswith("code/") for name in files):
        raise CheckpointError(
            f"{path} is a TorchScript program, which is code and is not run; save model.state_dict() of the model that "
            "it was scripted or traced from"
        )
    if "data.pkl" in files:
        return
    if any(name.endswith("model.weights.h5") for name in names):
        raise CheckpointError(f"{path} is a Keras model; expected PyTorch weights")
    if any(name.startswith(("models/", "archive_format", "archive_version")) for name in files):
        raise CheckpointError(f"{path} is a program of torch.export; save model.state_dict() of its model instead")
    if names and all(name.endswith(".npy") for name in names):
        raise CheckpointError(f"{path} is a NumPy archive; expected PyTorch weights")
    raise CheckpointError(
        f"{path} is a zip archive of {', '.join(names[:3]) or 'nothing'}; unpack it and pass the file of weights within"
    )
