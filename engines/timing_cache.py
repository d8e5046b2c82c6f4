"""Kernel times that classic TensorRT measured once, kept in a file for the next build on the same GPU.

A file belongs to one GPU model, compute capability and TensorRT version. It starts with a digest, because TensorRT
trusts what it is given; a damaged file is ignored. Builds that run at once merge what they measured.
"""

from __future__ import annotations

import fcntl
import hashlib
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

from export.errors import BackendError
from export.sidecar import write_atomically

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

_MAGIC = b"signoff timing cache 1\n"
_DIGEST_BYTES = hashlib.sha256().digest_size


class TimingCacheFile:
    """One file of measured times.

    Args:
        folder: Where timing caches lie; made if need be.
        device: Facts of the GPU: `name` and `compute_capability`.
        version: Version of TensorRT.

    Raises:
        BackendError: The folder cannot be made or written to.
    """

    def __init__(self, folder: Path, device: Mapping[str, str], version: str) -> None:
        name = "-".join([device["name"], f"sm{device['compute_capability']}", f"tensorrt{version}"])
        self.path = folder / (re.sub(r"[^A-Za-z0-9.]+", "-", name) + ".timing")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with self._locked():
                pass
        except OSError as error:
            raise BackendError(f"--timing-cache {folder}: {error.strerror}; expected a folder to write to") from None

    def read(self) -> tuple[bytes, str]:
        """Returns what TensorRT serialized, empty if there is nothing to use, and why a file was ignored if one was."""
        with self._locked():
            return self._content()

    def update(self, merged: Callable[[bytes], bytes]) -> None:
        """Replaces the content by what `merged` makes of it, which may have changed since it was read.

        Raises:
            OSError: It cannot be written; the old content is intact.
        """
        with self._locked():
            payload = merged(self._content()[0])
            with write_atomically(self.path) as temporary:
                temporary.write_bytes(_MAGIC + hashlib.sha256(payload).digest() + payload)

    def _content(self) -> tuple[bytes, str]:
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return b"", ""
        except OSError as error:
            return b"", f"timing cache {self.path.name} was ignored: it cannot be read ({error.strerror})"
        start = len(_MAGIC) + _DIGEST_BYTES
        digest, payload = data[len(_MAGIC) : start], data[start:]
        if not data.startswith(_MAGIC) or hashlib.sha256(payload).digest() != digest:
            return b"", f"timing cache {self.path.name} was ignored: it is damaged"
        return payload, ""

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Keeps other processes out; the lock has a file of its own, because the cache's is replaced."""
        with self.path.with_suffix(".lock").open("w") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            yield
