"""The kernels that TensorRT for RTX compiled on a device, kept beside the engine so that the next start is quick."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from export.sidecar import write_atomically

if TYPE_CHECKING:
    from pathlib import Path

    from export.sidecar import Artifact

_DIGEST_BYTES = 32


class RuntimeCache:
    """A file that holds a digest and, behind it, what `IRuntimeCache.serialize` gave.

    The digest covers the plan, too: a cache that was cut off, damaged or made for another plan never reaches TensorRT,
    which checks only device, driver and release.

    Args:
        engine: The plan it belongs to.

    Attributes:
        path: Where it lies: `x.plan.kernels` beside `x.plan`.
    """

    def __init__(self, engine: Artifact) -> None:
        self.path: Path = engine.path.with_name(engine.path.name + ".kernels")
        self._plan = engine.sha256
        self._stored = b""

    def read(self) -> bytes | None:
        """Returns the kernels, or None if there are none that can be trusted to be whole."""
        try:
            content = self.path.read_bytes()
        except OSError:
            return None
        digest, kernels = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
        if not kernels or digest != self._digest(kernels):
            return None
        self._stored = kernels
        return kernels

    def write(self, kernels: bytes) -> None:
        """Replaces the file atomically, unless it holds the same kernels.

        Raises:
            OSError: The folder cannot be written.
        """
        if not kernels or kernels == self._stored:
            return
        with write_atomically(self.path) as temporary:
            temporary.write_bytes(self._digest(kernels) + kernels)
        self._stored = kernels

    def _digest(self, kernels: bytes) -> bytes:
        return hashlib.sha256(self._plan.encode() + kernels).digest()
