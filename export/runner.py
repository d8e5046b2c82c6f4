"""What every representation of the detector can do: turn images into fake logits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from types import TracebackType
    from typing import TypeAlias

    import numpy as np
    from numpy.typing import NDArray
    from typing_extensions import Self

    # Normalized float32 of shape (N, 3, size, size), or, for a graph that normalizes by itself, uint8 pixels of shape
    # (N, size, size, 3).
    Images: TypeAlias = NDArray[np.float32] | NDArray[np.uint8]


class Runner(Protocol):
    """A context manager that owns a session or device memory."""

    def __enter__(self) -> Self:
        """Takes the resources."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Frees the resources."""
        ...

    def infer(self, images: Images) -> NDArray[np.float32]:
        """Returns the fake logits, shape (N,), of images in the form that the graph takes."""
        ...
