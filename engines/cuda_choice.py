"""Which Python package the CUDA seam goes through here."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from engines.cuda_driver import CudaDriver
from engines.cuda_pycuda import PyCuda
from engines.cuda_python import CudaPython
from export.errors import BackendError

if TYPE_CHECKING:
    from engines.cuda import Cuda


def open_cuda(gpu: int = 0) -> Cuda:
    """Returns the seam to a GPU: through PyCUDA where that is installed, else through cuda-python.

    Nothing is held on the GPU before the returned context manager is entered. Use it in the thread that enters it.

    Args:
        gpu: Index of the GPU among those visible.

    Raises:
        BackendError: There is no driver, no such GPU or neither package, or the package cannot be imported.
    """
    driver = CudaDriver()
    device = driver.device(gpu)
    if _installed("pycuda", "driver"):
        return PyCuda(driver, device)
    if _installed("cuda", "bindings") or _installed("cuda", "cuda"):
        return CudaPython(driver, device)
    raise BackendError(
        "neither PyCUDA nor cuda-python is installed; run: pip install 'engine-signoff[tensorrt]' "
        "(or 'engine-signoff[pycuda]', which compiles and needs the CUDA toolkit)"
    )


def _installed(package: str, module: str) -> bool:
    # `cuda` alone tells nothing: cuda-pathfinder, which PyTorch brings, lives in it, too.
    return find_spec(package) is not None and find_spec(f"{package}.{module}") is not None
