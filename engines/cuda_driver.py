"""The CUDA driver's own library: which GPUs there are, CUDA's words for its errors, and calls that packages lack."""

from __future__ import annotations

import re
from ctypes import CDLL, byref, c_char_p, c_int, c_size_t, c_uint, c_ulonglong, c_void_p, create_string_buffer
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from engines.cuda import CudaDevice, CudaError, DeviceLostError, DeviceMemoryError
from export.errors import BackendError

if TYPE_CHECKING:
    from typing import Any

LIBRARY = "libcuda.so.1"
DRIVER_FILE = Path("/proc/driver/nvidia/version")

OUT_OF_MEMORY = 2
INVALID_CONTEXT = 201
LAUNCH_FAILED = 719

# Those of which cuda.h 13.0 says that the process must be terminated and relaunched, and what a GPU that broke down,
# fell off the bus or was taken away answers (46, 214, 220, 710, 999).
_LOST = frozenset({46, 214, 220, 226, 700, 702, 710, 714, 715, 716, 717, 718, 719, 721, 810, 911, 999})

_NO_GPU = "a GPU runner needs one; run the variant's ONNX Runtime engine on the CPU (--backend onnxruntime) instead"
_INIT_REMEDIES = {
    34: "this libcuda.so.1 is the CUDA toolkit's stub; take its folder off LD_LIBRARY_PATH",
    46: "another process holds the GPU in exclusive mode; nvidia-smi names it",
    100: f"nvidia-smi lists what the driver sees, and CUDA_VISIBLE_DEVICES must not hide it; {_NO_GPU}",
    803: "reboot, so that kernel module and libcuda.so.1 have one version",
    804: "take the CUDA compatibility library off LD_LIBRARY_PATH, or update the driver",
    999: "load the kernel module (nvidia-smi must work), and pass the GPU to the container (docker run --gpus all)",
}

_SIGNATURES: dict[str, tuple[Any, ...]] = {
    "cuInit": (c_uint,),
    "cuDriverGetVersion": (c_void_p,),
    "cuDeviceGetCount": (c_void_p,),
    "cuDeviceGet": (c_void_p, c_int),
    "cuDeviceGetName": (c_void_p, c_int, c_int),
    "cuDeviceGetAttribute": (c_void_p, c_int, c_int),
    "cuDeviceTotalMem_v2": (c_void_p, c_int),
    "cuMemGetInfo_v2": (c_void_p, c_void_p),
    "cuCtxPopCurrent_v2": (c_void_p,),
    "cuCtxSynchronize": (),
    "cuEventCreate": (c_void_p, c_uint),
    "cuEventDestroy_v2": (c_void_p,),
    "cuEventRecord": (c_void_p, c_void_p),
    "cuEventSynchronize": (c_void_p,),
    "cuEventElapsedTime": (c_void_p, c_void_p, c_void_p),
    "cuStreamWaitEvent": (c_void_p, c_void_p, c_uint),
    "cuStreamBeginCapture_v2": (c_void_p, c_int),
    "cuStreamEndCapture": (c_void_p, c_void_p),
    "cuGraphInstantiateWithFlags": (c_void_p, c_void_p, c_ulonglong),
    "cuGraphDestroy": (c_void_p,),
    "cuGraphExecDestroy": (c_void_p,),
    "cuGraphLaunch": (c_void_p, c_void_p),
}


class CudaDriver:
    """libcuda.so.1, initialized.

    Raises:
        BackendError: The library is missing, or CUDA finds no usable GPU.
    """

    def __init__(self) -> None:
        try:
            self._library = CDLL(LIBRARY)
        except OSError as error:
            raise BackendError(f"no NVIDIA driver is installed here ({error}); {_NO_GPU}") from None
        code = self._function("cuInit")(0)
        if code:
            remedy = _INIT_REMEDIES.get(code, "nvidia-smi must work first")
            raise BackendError(f"CUDA does not start: {self._words(code)}; {remedy}")

    def call(self, name: str, *arguments: Any) -> None:
        """Calls a function by its exported name; raises CudaError unless it succeeds."""
        code = self._function(name)(*arguments)
        if code:
            raise self.error(name, code)

    def error(self, name: str, code: int, wanted: str = "") -> CudaError:
        """Returns what to raise for the result of a call.

        Args:
            name: The function that failed.
            code: Its CUresult.
            wanted: The memory that was asked for, `2.00 GiB of device memory` or `... of page-locked host memory`.
        """
        failure = f"{name.removesuffix('_v2')} failed: {self._words(code)}"
        if code == OUT_OF_MEMORY:
            asked = f" when {wanted} was asked for" if wanted else ""
            left = "" if "host" in wanted else self._left()
            return DeviceMemoryError(f"{failure}{asked}{left}; take smaller batches, or end what else holds the memory")
        if code in _LOST:
            return DeviceLostError(
                f"{failure}; this process cannot use the GPU any more: run the command again, "
                "and if that fails see nvidia-smi and the kernel's log (dmesg | grep -i xid)"
            )
        if code == INVALID_CONTEXT:
            return CudaError(f"{failure}; use the GPU in the thread and inside the `with` block that opened it")
        return CudaError(failure)

    def code_of(self, words: str) -> int | None:
        """Returns the CUresult that CUDA describes by these words; PyCUDA tells no more of an error."""
        return self._codes.get(words)

    @cached_property
    def version(self) -> str:
        """Newest CUDA version that the driver supports, such as `13.0`."""
        number = c_int()
        self.call("cuDriverGetVersion", byref(number))
        return f"{number.value // 1000}.{number.value % 1000 // 10}"

    def devices(self) -> list[CudaDevice]:
        """Returns the visible GPUs."""
        count = c_int()
        self.call("cuDeviceGetCount", byref(count))
        return [self._device(index) for index in range(count.value)]

    def device(self, index: int) -> CudaDevice:
        """Returns one of the visible GPUs.

        Raises:
            BackendError: There is none of that index.
        """
        devices = self.devices()
        if not 0 <= index < len(devices):
            names = ", ".join(f"{d.index}: {d.name}" for d in devices)
            raise BackendError(
                f"there is no GPU {index}; choose one of {names or 'none'} (CUDA_VISIBLE_DEVICES hides others)"
            )
        return devices[index]

    def _device(self, index: int) -> CudaDevice:
        handle, major, minor, memory = c_int(), c_int(), c_int(), c_size_t()
        name = create_string_buffer(256)
        self.call("cuDeviceGet", byref(handle), index)
        self.call("cuDeviceGetName", name, len(name), handle)
        self.call("cuDeviceGetAttribute", byref(major), 75, handle)  # COMPUTE_CAPABILITY_MAJOR
        self.call("cuDeviceGetAttribute", byref(minor), 76, handle)  # ..._MINOR
        self.call("cuDeviceTotalMem_v2", byref(memory), handle)
        return CudaDevice(
            index=index,
            name=name.value.decode(errors="replace"),
            compute_capability=f"{major.value}.{minor.value}",
            memory_bytes=memory.value,
            cuda=self.version,
            driver=driver_version(),
        )

    def _function(self, name: str) -> Any:
        try:
            function = getattr(self._library, name)
        except AttributeError:
            raise CudaError(f"the NVIDIA driver has no {name}; update it to one for CUDA 11.4 or newer") from None
        if function.argtypes is None:
            function.argtypes = _SIGNATURES[name]
        return function

    def _words(self, code: int) -> str:
        name, text = c_char_p(), c_char_p()
        self._library.cuGetErrorName(code, byref(name))
        self._library.cuGetErrorString(code, byref(text))
        return f"{(name.value or b'CUDA error %d' % code).decode()} ({(text.value or b'unknown').decode()})"

    @cached_property
    def _codes(self) -> dict[str, int]:
        codes: dict[str, int] = {}
        text = c_char_p()
        for code in range(1000):
            if self._library.cuGetErrorString(code, byref(text)) == 0 and text.value:
                codes[text.value.decode()] = code
        return codes

    def _left(self) -> str:
        left, total = c_size_t(), c_size_t()
        if self._function("cuMemGetInfo_v2")(byref(left), byref(total)):
            return ""
        return f"; {gibibytes(left.value)} of the GPU's {gibibytes(total.value)} are free"


def driver_version(file: Path = DRIVER_FILE) -> str:
    """Returns the version of the kernel module, such as `580.65.06`; empty where the system does not tell."""
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    found = re.search(r"Kernel Module.*?\s(\d+(?:\.\d+)+)\s", text)
    return found[1] if found else ""


def gibibytes(size: int) -> str:
    """Returns a size in words, such as `1.50 GiB`."""
    return f"{size / 2**30:.2f} GiB" if size >= 2**27 else f"{size / 2**20:.2f} MiB"
