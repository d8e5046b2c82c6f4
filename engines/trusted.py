"""The gate before deserialization: a plan is executable code, so only the very bytes that were built pass.

TensorRT's own checks are none against tampering: a plan may carry plugins and host code, and deserializing one from
an untrusted source is running that source's code (NVIDIA, TensorRT documentation, Security). The digest in the sidecar
catches every accident; malice it catches only where the sidecar itself came by a way that can be trusted.
"""

from __future__ import annotations

import hashlib
import os
import stat
from typing import TYPE_CHECKING

from export.errors import ArtifactError

if TYPE_CHECKING:
    from export.sidecar import Artifact

_BACKENDS = {"tensorrt_rtx": "tensorrt-rtx", "tensorrt": "tensorrt"}
_MAGIC_SIZE = 4
_HEADER_SIZE = 64
# First bytes of a plan. TensorRT for RTX 1.7 writes and demands `vtrt`. Classic TensorRT demands `ftrt` (8.6, by its
# machine code; 10.x, by what Torch-TensorRT and others test for); a later release may know better about its own plans,
# so a classic plan that starts otherwise is left to TensorRT.
_PLANS = {b"vtrt": "tensorrt_rtx", b"ftrt": "tensorrt"}
_COMPRESSED = {b"\x28\xb5\x2f\xfd": "zstd", b"\x1f\x8b": "gzip", b"\xfd7zXZ": "xz", b"PK\x03\x04": "zip"}
# An ONNX file starts with its field `ir_version`, a small number, and goes on with one of these fields.
_ONNX_START = 0x08
_ONNX_FIELDS = (0x12, 0x1A, 0x22, 0x28, 0x32, 0x3A, 0x42, 0x72)


def trusted_bytes(engine: Artifact) -> bytes:
    """Reads an engine, once, and returns exactly the bytes that its sidecar vouches for.

    Whoever runs an engine hands these bytes on and never its path: a file that was checked could be another one when
    it is opened again.

    Raises:
        ArtifactError: The file is gone, is no regular file, or was changed after it was made.
    """
    blob = _content(engine)
    found = hashlib.sha256(blob).hexdigest()
    if found != engine.sha256:
        raise ArtifactError(
            f"{engine.path} was changed after it was made (sha256 {found[:12]}, sidecar says {engine.sha256[:12]}); "
            "delete it and run the command that made it to have it rebuilt"
        )
    return blob


def require_plan(blob: bytes, package: str, name: str = "the engine") -> None:
    """Refuses what a TensorRT package would not recognize as a plan of its own.

    Args:
        blob: Content of the engine file.
        package: `tensorrt_rtx` or `tensorrt`.
        name: Of the file, for messages.

    Raises:
        ArtifactError: It is empty, truncated, a plan of the other package, or something else altogether.
    """
    backend = _BACKENDS[package]
    rebuild = f"delete it and run build-engines with --backend {backend} again"
    if not blob:
        raise ArtifactError(f"{name} is empty; {rebuild}")
    kind = _PLANS.get(blob[:_MAGIC_SIZE])
    if kind is not None and kind != package:
        raise ArtifactError(
            f"{name} is a plan of {_product(kind)}, which {_product(package)} cannot read; evaluate it with --backend "
            f"{_BACKENDS[kind]}, or run build-engines with --backend {backend}"
        )
    foreign = _foreign_kind(blob)
    if foreign:
        raise ArtifactError(f"{name} is {foreign}, not a plain TensorRT plan; {rebuild}")
    if len(blob) < _HEADER_SIZE:
        raise ArtifactError(f"{name} has only {len(blob)} bytes, less than the header of a plan; {rebuild}")
    if kind is None and package == "tensorrt_rtx":
        raise ArtifactError(f"{name} does not start as a plan of {_product(package)} does; {rebuild}")


def _content(engine: Artifact) -> bytes:
    try:
        # Without blocking, because opening a named pipe would otherwise wait for a writer for ever.
        descriptor = os.open(engine.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise ArtifactError(f"{engine.path} is missing although its sidecar exists; run build-engines again") from None
    except OSError as error:
        raise ArtifactError(f"{engine.path} cannot be opened ({error.strerror}); run build-engines again") from error
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ArtifactError(f"{engine.path} is not a file; delete it and run build-engines again")
        with os.fdopen(descriptor, "rb", closefd=False) as stream:
            return stream.read()
    finally:
        os.close(descriptor)


def _foreign_kind(blob: bytes) -> str:
    """Names what else a file evidently is; empty if that cannot be told."""
    for start, program in _COMPRESSED.items():
        if blob.startswith(start):
            return f"compressed with {program}"
    if len(blob) > _MAGIC_SIZE and blob[0] == _ONNX_START and blob[1] < 0x80 and blob[2] in _ONNX_FIELDS:
        return "an ONNX graph"
    if not any(blob[:_HEADER_SIZE]):
        return "full of zeros"
    length = int.from_bytes(blob[:_MAGIC_SIZE], "little")
    if blob[_MAGIC_SIZE : _MAGIC_SIZE + 1] == b"{" and length < len(blob):
        return "a plan behind metadata, as Ultralytics writes it"
    return ""


def _product(package: str) -> str:
    return "TensorRT for RTX" if package == "tensorrt_rtx" else "classic TensorRT"
