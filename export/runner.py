"""What every representation of the detector can do: turn images into fake logits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from types import TracebackType

    import numpy as np
    from numpy.typing import NDArray
    from typing_extensions import Self


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

    def infer(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Returns the fake logits, shape (N,), of normalized images, shape (N, 3, size, size)."""
        ...
