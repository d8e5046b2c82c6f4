"""The CUDA seam through PyCUDA, in the primary context; for what PyCUDA lacks, through the driver's library.

PyCUDA 2026.1 has no graphs, and gives no handles of its events, which TensorRT takes. `pycuda.autoinit` is never
imported: it makes a context of its own.
"""

# The protocol engines.cuda.Cuda says what the methods do.
# ruff: noqa: D102

from __future__ import annotations

import importlib
from ctypes import byref, c_float, c_void_p
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from engines.cuda import CudaError, DeviceLostError
from engines.cuda_driver import LAUNCH_FAILED, OUT_OF_MEMORY, gibibytes
from engines.cuda_ledger import CudaLedger, contiguous, first_failure
from export.errors import BackendError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType, TracebackType

    import numpy as np
    from numpy.typing import NDArray
    from typing_extensions import Self

    from engines.cuda import CudaDevice
    from engines.cuda_driver import CudaDriver

_NON_BLOCKING = 1
# Other threads may allocate meanwhile; the mode of trtexec.
_THREAD_LOCAL = 1


def pycuda_driver() -> ModuleType:
    """Imports PyCUDA's driver module, which makes no context.

    Raises:
        BackendError: PyCUDA is not installed, or was built for another driver.
    """
    try:
        return importlib.import_module("pycuda.driver")
    except ImportError as error:
        raise BackendError(
            f"PyCUDA cannot be imported ({error}); build it anew for this driver: "
            "pip install --force-reinstall --no-binary pycuda --no-cache-dir pycuda, "
            "or take cuda-python: pip uninstall pycuda && pip install 'engine-signoff[tensorrt]'"
        ) from None


class PyCuda:
    """Implements `engines.cuda.Cuda`."""

    name = "PyCUDA"

    def __init__(self, driver: CudaDriver, device: CudaDevice) -> None:
        self.device = device
        self._driver = driver
        self._pycuda = pycuda_driver()
        self._ledger = CudaLedger()
        self._streams: dict[int, Any] = {}

    def __enter__(self) -> Self:
        self._call(self._pycuda.init)
        device = self._call(self._pycuda.Device, self.device.index)
        self._context = self._call(device.retain_primary_context)
        try:
            self._call(self._context.push)
        except CudaError:
            # Not released so, PyCUDA's destructor would take it for a context of its own and call cuCtxDetach.
            first_failure(self._releasing())
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        waiting = first_failure([partial(self._driver.call, "cuCtxSynchronize")])
        releases, leaving = self._ledger.emptied(), self._leaving()
        # PyCUDA prints a warning for everything that it cannot free, unless its context is gone.
        lost = isinstance(waiting or error, DeviceLostError)
        freeing = first_failure([*leaving, *releases] if lost else [*releases, *leaving])
        failure = waiting or freeing
        if failure and error is None:
            raise failure

    def allocate(self, size: int) -> int:
        memory = self._call(self._pycuda.mem_alloc, size, wanted=f"{gibibytes(size)} of device memory")
        return self._ledger.add("device memory", int(memory), partial(self._call, memory.free))

    def free(self, pointer: int) -> None:
        self._ledger.free("device memory", pointer)

    def allocate_pinned(self, size: int) -> NDArray[np.uint8]:
        wanted = f"{gibibytes(size)} of page-locked host memory"
        memory = self._call(self._pycuda.pagelocked_empty, size, "uint8", wanted=wanted)
        self._ledger.add("page-locked memory", memory.ctypes.data, partial(self._call, memory.base.free))
        return cast("NDArray[np.uint8]", memory)

    def free_pinned(self, memory: NDArray[np.uint8]) -> None:
        self._ledger.free("page-locked memory", memory.ctypes.data)

    def free_bytes(self) -> int:
        return int(self._call(self._pycuda.mem_get_info)[0])

    def stream(self) -> int:
        stream = self._call(self._pycuda.Stream, _NON_BLOCKING)
        self._streams[stream.handle] = stream
        return self._ledger.add("stream", stream.handle, partial(self._streams.pop, stream.handle))

    def event(self) -> int:
        event = self._handle("cuEventCreate", 0)
        return self._ledger.add("event", event, partial(self._driver.call, "cuEventDestroy_v2", event))

    def copy_to_device_async(self, pointer: int, source: NDArray[np.uint8], stream: int) -> None:
        self._call(self._pycuda.memcpy_htod_async, pointer, contiguous(source), self._stream(stream))

    def copy_to_host_async(self, destination: NDArray[np.uint8], pointer: int, stream: int) -> None:
        target = contiguous(destination, writable=True)
        self._call(self._pycuda.memcpy_dtoh_async, target, pointer, self._stream(stream))

    def record(self, event: int, stream: int) -> None:
        self._driver.call("cuEventRecord", event, stream)

    def wait(self, stream: int, event: int) -> None:
        self._driver.call("cuStreamWaitEvent", stream, event, 0)

    def synchronize(self, event: int) -> None:
        self._driver.call("cuEventSynchronize", event)

    def synchronize_stream(self, stream: int) -> None:
        self._call(self._stream(stream).synchronize)

    def elapsed_ms(self, first: int, last: int) -> float:
        milliseconds = c_float()
        self._driver.call("cuEventElapsedTime", byref(milliseconds), first, last)
        return milliseconds.value

    def captured(self, stream: int, enqueue: Callable[[], None]) -> int:
        self._driver.call("cuStreamBeginCapture_v2", stream, _THREAD_LOCAL)
        try:
            enqueue()
        except BaseException:
            self._abandon(stream)
            raise
        graph = self._captured(stream)
        try:
            executable = self._handle("cuGraphInstantiateWithFlags", graph, 0)
        finally:
            self._driver.call("cuGraphDestroy", graph)
        return self._ledger.add("graph", executable, partial(self._driver.call, "cuGraphExecDestroy", executable))

    def launch(self, graph: int, stream: int) -> None:
        self._driver.call("cuGraphLaunch", graph, stream)

    def free_graph(self, graph: int) -> None:
        self._ledger.free("graph", graph)

    def _leaving(self) -> list[Callable[[], object]]:
        return [partial(self._call, self._context.pop), *self._releasing()]

    def _releasing(self) -> list[Callable[[], object]]:
        # `detach` makes the context current to release it, and leaves it so: hence a second pop, which PyCUDA's own
        # stack of contexts must not see.
        popped = c_void_p()
        return [
            partial(self._call, self._context.detach),
            partial(self._driver.call, "cuCtxPopCurrent_v2", byref(popped)),
        ]

    def _stream(self, handle: int) -> Any:
        try:
            return self._streams[handle]
        except KeyError:
            raise CudaError(f"stream {handle:#x} is not held here: it was freed before, or never given out") from None

    def _captured(self, stream: int) -> int:
        graph = c_void_p()
        self._driver.call("cuStreamEndCapture", stream, byref(graph))
        return graph.value or 0

    def _abandon(self, stream: int) -> None:
        # An error here would hide the one for which the capture is given up.
        first_failure([lambda: self._driver.call("cuGraphDestroy", self._captured(stream))])

    def _handle(self, name: str, *arguments: int) -> int:
        """Returns the handle that a function of the driver creates; its first parameter is where to."""
        handle = c_void_p()
        self._driver.call(name, byref(handle), *arguments)
        return handle.value or 0

    def _call(self, function: Callable[..., Any], *arguments: Any, wanted: str = "") -> Any:
        try:
            return function(*arguments)
        except self._pycuda.Error as error:
            raise self._translated(error, wanted) from None

    def _translated(self, error: Exception, wanted: str) -> CudaError:
        # The message is "<function> failed: <CUDA's words>", with " - <PyCUDA's words>" where it has some.
        name, _, words = str(error).partition(" failed: ")
        code = self._driver.code_of(words.partition(" - ")[0])
        if code is None and isinstance(error, self._pycuda.MemoryError):
            code = OUT_OF_MEMORY
        if code is None and isinstance(error, self._pycuda.LaunchError):
            code = LAUNCH_FAILED
        return CudaError(str(error)) if code is None else self._driver.error(name, code, wanted)
