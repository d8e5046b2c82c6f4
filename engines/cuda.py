"""The seam to CUDA: memory, streams, events and graphs of one GPU, on its primary context.

PyTorch, ONNX Runtime and TensorRT all work in the primary context of a device. A context of one's own beside it, as
`pycuda.autoinit` makes, ends in `invalid resource handle`; so an implementation retains the primary one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from export.errors import BackendError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    import numpy as np
    from numpy.typing import NDArray
    from typing_extensions import Self


class CudaError(BackendError):
    """A call of CUDA failed; the message has its name and CUDA's own words."""


class DeviceMemoryError(CudaError):
    """The GPU has not enough free memory; nothing was allocated."""


class DeviceLostError(CudaError):
    """The GPU cannot be used by this process any more: it fell off the bus, or a kernel made an illegal access."""


@dataclass(frozen=True)
class CudaDevice:
    """A GPU.

    Attributes:
        index: Its number among those visible.
        name: Such as `NVIDIA H200`.
        compute_capability: Its SM version, such as `9.0`.
        memory_bytes: All of its memory.
        cuda: Newest CUDA version that the driver supports, such as `13.0`.
        driver: Version of the driver, such as `580.65.06`; empty where the system does not tell.
    """

    index: int
    name: str
    compute_capability: str
    memory_bytes: int
    cuda: str
    driver: str


class Cuda(Protocol):
    """A context manager that owns what it hands out and frees all of it at the end.

    Pointers and handles are integers, as TensorRT takes them. Calls whose names end in `_async` return before the
    work is done; the memory that they name must stay untouched until an event recorded after them has passed.
    Every call raises CudaError, or one of its kinds, if CUDA refuses.
    """

    name: str
    device: CudaDevice

    def __enter__(self) -> Self:
        """Makes the device's primary context current in this thread."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Waits for the device, frees what is left and releases the context; never hides the error of the block."""
        ...

    def allocate(self, size: int) -> int:
        """Returns device memory of `size` bytes, aligned to at least 256; raises DeviceMemoryError."""
        ...

    def free(self, pointer: int) -> None:
        """Frees device memory; freeing it twice is a RuntimeError."""
        ...

    def allocate_pinned(self, size: int) -> NDArray[np.uint8]:
        """Returns page-locked host memory of `size` bytes, without which copies would not be asynchronous."""
        ...

    def free_pinned(self, memory: NDArray[np.uint8]) -> None:
        """Frees page-locked memory; the array must not be used any more."""
        ...

    def free_bytes(self) -> int:
        """Returns how much memory of the device is free, whoever uses the rest."""
        ...

    def stream(self) -> int:
        """Returns a new stream that does not wait for the default stream."""
        ...

    def event(self) -> int:
        """Returns a new event that keeps the time."""
        ...

    def copy_to_device_async(self, pointer: int, source: NDArray[np.uint8], stream: int) -> None:
        """Copies a contiguous part of page-locked memory to the device."""
        ...

    def copy_to_host_async(self, destination: NDArray[np.uint8], pointer: int, stream: int) -> None:
        """Copies from the device to a contiguous part of page-locked memory."""
        ...

    def record(self, event: int, stream: int) -> None:
        """Lets the event pass once everything enqueued on the stream so far is done."""
        ...

    def wait(self, stream: int, event: int) -> None:
        """Keeps what is enqueued on the stream from now on back until the event has passed."""
        ...

    def synchronize(self, event: int) -> None:
        """Blocks this thread until the event has passed."""
        ...

    def synchronize_stream(self, stream: int) -> None:
        """Blocks this thread until everything enqueued on the stream is done."""
        ...

    def elapsed_ms(self, first: int, last: int) -> float:
        """Returns the milliseconds between two events that have passed."""
        ...

    def captured(self, stream: int, enqueue: Callable[[], None]) -> int:
        """Returns an executable graph of the work that `enqueue` enqueues on the stream, without doing it.

        Raises:
            CudaError: The work cannot be captured; the stream is usable again.
        """
        ...

    def launch(self, graph: int, stream: int) -> None:
        """Enqueues all work of a graph at once."""
        ...

    def free_graph(self, graph: int) -> None:
        """Frees a graph that is not running; its kernels belong to an engine that must still be there."""
        ...
