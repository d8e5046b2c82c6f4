"""What an implementation of the CUDA seam has handed out, and how each thing is freed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engines.cuda import CudaError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import numpy as np
    from numpy.typing import NDArray


class CudaLedger:
    """Things held, each under its kind and its handle or address."""

    def __init__(self) -> None:
        self._releases: dict[tuple[str, int], Callable[[], object]] = {}

    def add(self, kind: str, handle: int, release: Callable[[], object]) -> int:
        """Holds a thing until `release` is called for it; returns its handle."""
        self._releases[kind, handle] = release
        return handle

    def free(self, kind: str, handle: int) -> None:
        """Frees a thing.

        Raises:
            RuntimeError: It is not held: freed twice, or handed out by something else.
            CudaError: CUDA refuses.
        """
        try:
            release = self._releases.pop((kind, handle))
        except KeyError:
            raise RuntimeError(
                f"{kind} {handle:#x} is not held here: it was freed before, or never given out"
            ) from None
        release()

    def emptied(self) -> list[Callable[[], object]]:
        """Returns what frees the rest, the newest first, and holds nothing any more."""
        releases = list(reversed(self._releases.values()))
        self._releases.clear()
        return releases


def first_failure(steps: Iterable[Callable[[], object]]) -> CudaError | None:
    """Takes every step, whatever becomes of the others, and returns the first error of CUDA."""
    failure = None
    for step in steps:
        try:
            step()
        except CudaError as error:
            failure = failure or error
    return failure


def contiguous(memory: NDArray[np.uint8], *, writable: bool = False) -> NDArray[np.uint8]:
    """Returns an array that a copy can name by address and size; raises ValueError for any other."""
    if not memory.flags.c_contiguous or (writable and not memory.flags.writeable):
        raise ValueError("a copy needs contiguous memory, and writable memory to copy to")
    return memory
