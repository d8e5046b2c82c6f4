"""The CUDA seam through NVIDIA's own bindings (`cuda-python`, or the leaner `cuda-bindings`)."""

# The protocol engines.cuda.Cuda says what the methods do.
# ruff: noqa: D102

from __future__ import annotations

import importlib
import re
from ctypes import c_uint8
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from engines.cuda import CudaError
from engines.cuda_driver import gibibytes
from engines.cuda_ledger import CudaLedger, contiguous, first_failure
from export.errors import BackendError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType, TracebackType

    from numpy.typing import NDArray
    from typing_extensions import Self

    from engines.cuda import CudaDevice
    from engines.cuda_driver import CudaDriver

_NON_BLOCKING = 1
# Other threads may allocate meanwhile; the mode of trtexec.
_THREAD_LOCAL = 1


def bindings() -> ModuleType:
    """Imports the bindings of the driver API, which lie elsewhere before cuda-python 12.8.

    Raises:
        BackendError: They are not installed, or not usable.
    """
    try:
        try:
            return importlib.import_module("cuda.bindings.driver")
        except ModuleNotFoundError:
            return importlib.import_module("cuda.cuda")
    except ImportError as error:
        raise BackendError(
            f"cuda-python cannot be imported ({error}); run: pip install 'engine-signoff[tensorrt]'"
        ) from None


class CudaPython:
    """Implements `engines.cuda.Cuda`."""

    name = "cuda-python"

    def __init__(self, driver: CudaDriver, device: CudaDevice) -> None:
        self.device = device
        self._driver = driver
        self._cuda = bindings()
        self._ledger = CudaLedger()
        # CUDA 11 had another cuGraphInstantiate beside this one; 12 and 13 have only the plain name.
        plain = not hasattr(self._cuda, "cuGraphInstantiateWithFlags")
        self._instantiate = "cuGraphInstantiate" if plain else "cuGraphInstantiateWithFlags"
        self._mode = self._cuda.CUstreamCaptureMode(_THREAD_LOCAL)

    def __enter__(self) -> Self:
        self._call("cuInit", 0)
        self._handle = self._call("cuDeviceGet", self.device.index)
        context = self._call("cuDevicePrimaryCtxRetain", self._handle)
        try:
            self._call("cuCtxPushCurrent", context)
        except CudaError:
            self._call("cuDevicePrimaryCtxRelease", self._handle)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        leaving = [
            partial(self._call, "cuCtxPopCurrent"),
            partial(self._call, "cuDevicePrimaryCtxRelease", self._handle),
        ]
        failure = first_failure([partial(self._call, "cuCtxSynchronize"), *self._ledger.emptied(), *leaving])
        if failure and error is None:
            raise failure

    def allocate(self, size: int) -> int:
        pointer = int(self._call("cuMemAlloc", size, wanted=f"{gibibytes(size)} of device memory"))
        return self._ledger.add("device memory", pointer, partial(self._call, "cuMemFree", pointer))

    def free(self, pointer: int) -> None:
        self._ledger.free("device memory", pointer)

    def allocate_pinned(self, size: int) -> NDArray[np.uint8]:
        address = int(self._call("cuMemHostAlloc", size, 0, wanted=f"{gibibytes(size)} of page-locked host memory"))
        self._ledger.add("page-locked memory", address, partial(self._call, "cuMemFreeHost", address))
        return np.ctypeslib.as_array((c_uint8 * size).from_address(address))

    def free_pinned(self, memory: NDArray[np.uint8]) -> None:
        self._ledger.free("page-locked memory", memory.ctypes.data)

    def free_bytes(self) -> int:
        return int(self._call("cuMemGetInfo")[0])

    def stream(self) -> int:
        stream = int(self._call("cuStreamCreate", _NON_BLOCKING))
        return self._ledger.add("stream", stream, partial(self._call, "cuStreamDestroy", stream))

    def event(self) -> int:
        event = int(self._call("cuEventCreate", 0))
        return self._ledger.add("event", event, partial(self._call, "cuEventDestroy", event))

    def copy_to_device_async(self, pointer: int, source: NDArray[np.uint8], stream: int) -> None:
        self._call("cuMemcpyHtoDAsync", pointer, contiguous(source).ctypes.data, source.nbytes, stream)

    def copy_to_host_async(self, destination: NDArray[np.uint8], pointer: int, stream: int) -> None:
        address = contiguous(destination, writable=True).ctypes.data
        self._call("cuMemcpyDtoHAsync", address, pointer, destination.nbytes, stream)

    def record(self, event: int, stream: int) -> None:
        self._call("cuEventRecord", event, stream)

    def wait(self, stream: int, event: int) -> None:
        self._call("cuStreamWaitEvent", stream, event, 0)

    def synchronize(self, event: int) -> None:
        self._call("cuEventSynchronize", event)

    def synchronize_stream(self, stream: int) -> None:
        self._call("cuStreamSynchronize", stream)

    def elapsed_ms(self, first: int, last: int) -> float:
        return float(self._call("cuEventElapsedTime", first, last))

    def captured(self, stream: int, enqueue: Callable[[], None]) -> int:
        self._call("cuStreamBeginCapture", stream, self._mode)
        try:
            enqueue()
        except BaseException:
            self._abandon(stream)
            raise
        graph = self._call("cuStreamEndCapture", stream)
        try:
            executable = int(self._call(self._instantiate, graph, 0))
        finally:
            self._call("cuGraphDestroy", graph)
        return self._ledger.add("graph", executable, partial(self._call, "cuGraphExecDestroy", executable))

    def launch(self, graph: int, stream: int) -> None:
        self._call("cuGraphLaunch", graph, stream)

    def free_graph(self, graph: int) -> None:
        self._ledger.free("graph", graph)

    def _abandon(self, stream: int) -> None:
        # An error here would hide the one for which the capture is given up.
        first_failure([lambda: self._call("cuGraphDestroy", self._call("cuStreamEndCapture", stream))])

    def _call(self, name: str, *arguments: Any, wanted: str = "") -> Any:
        """Returns what a function returns beside its status: nothing, one value or a tuple."""
        try:
            code, *values = getattr(self._cuda, name)(*arguments)
        except RuntimeError as error:  # the bindings look functions up by name in the driver
            major = self.device.cuda.partition(".")[0]
            raise CudaError(
                f"cuda-python is newer than the driver ({error}); run: pip install 'cuda-bindings=={major}.*'"
            ) from None
        except ValueError as error:  # a driver newer than the bindings has codes that their enumeration lacks
            unknown = re.match(r"(\d+) is not a valid CUresult", str(error))
            if unknown is None:
                raise
            code = int(unknown[1])
        if int(code):
            raise self._driver.error(name, int(code), wanted)
        return values[0] if len(values) == 1 else tuple(values)
