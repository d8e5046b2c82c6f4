"""What can be known about a plan and a GPU before TensorRT is asked: each obstacle in plain words, with its remedy."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from engines.cuda_requirement import DRIVERS, cuda_major_of
from engines.plan_origin import PORTABLE, plan_origin
from engines.tensorrt_api import sm_versions
from engines.tensorrt_module import tensorrt_module
from export.errors import BackendError

if TYPE_CHECKING:
    from engines.cuda import CudaDevice
    from engines.plan_origin import PlanOrigin
    from export.sidecar import Artifact

_PRODUCTS = {"tensorrt_rtx": "TensorRT for RTX", "tensorrt": "TensorRT"}
_BACKENDS = {"tensorrt_rtx": "tensorrt-rtx", "tensorrt": "tensorrt"}
_PACKAGED = {"tensorrt_rtx": (12, 13), "tensorrt": (11, 12, 13)}  # major versions of CUDA that PyPI has wheels for
_AMPERE = (8, 0)
_VERSION = re.compile(r"[0-9]+(\.[0-9A-Za-z]+){1,5}")
# A version-compatible plan of the first major version also runs with those that follow it here (NVIDIA, TensorRT
# documentation, Version Compatibility).
_LATER_MAJORS = {8: (9, 10), 9: (10,), 10: (11,)}
_VALIDITY = {
    1: "it was built with another release of TensorRT for RTX: build it again with this one",
    2: "it was not compiled for this GPU's SM version: build it again with --sm",
    4: "the NVIDIA driver is too old for it: update the driver",
    8: "the CUDA runtime is too old for it: update tensorrt-rtx and its CUDA packages",
    16: "the GPU has too little memory for it: free some, or build with a smaller --batch",
    32: "it is damaged: delete it and build it again",
    64: "CUDA failed while it was examined: see whether nvidia-smi works",
}


def require_runnable(engine: Artifact, package: str, device: CudaDevice) -> None:
    """Refuses a plan that cannot run here, by what its sidecar says; what that does not say is left to TensorRT.

    Args:
        engine: A plan, read and checked.
        package: The package that is to run it, `tensorrt_rtx` or `tensorrt`.
        device: The GPU that is to run it.

    Raises:
        ArtifactError: The sidecar is not that of an engine, or something it says is of the wrong type.
        BackendError: The package is missing, or the plan belongs to another backend, release or GPU, or the driver is
            too old.
    """
    trt = tensorrt_module(package)
    origin = plan_origin(engine)
    name, installed = engine.path.name, str(trt.__version__)
    if package not in origin.versions:
        built_with = ", ".join(origin.versions)
        raise BackendError(
            f"{name} was built with {built_with[:60]!r}, not for {_PRODUCTS[package]}; {_rebuild(package)}"
        )
    if package == "tensorrt_rtx":
        _require_supported(name, sm_versions(trt), device)  # first: no driver and no build makes up for it
    _require_driver(package, installed, device)
    _require_release(name, origin, package, installed)
    if package == "tensorrt_rtx":
        _require_compiled_for(name, origin, device)
    else:
        _require_same_gpu(name, origin, device)


def engine_validity_words(validity_bits: int) -> str:
    """Says what TensorRT for RTX's diagnosis of a plan means, from the bits that `get_engine_validity` returns."""
    words = [told for bit, told in _VALIDITY.items() if validity_bits & bit]
    unknown = validity_bits & ~sum(_VALIDITY)
    if unknown:
        words.append(f"TensorRT gives a reason this release does not know (bits {unknown:#x}): build it again")
    return "; ".join(words) or "TensorRT gives no reason: see whether nvidia-smi works, then build it again"


def _require_driver(package: str, installed: str, device: CudaDevice) -> None:
    needed, offered = cuda_major_of(package), _numbers(device.cuda)
    if needed is None or not offered or offered[0] >= needed:
        return
    driver = f"driver {device.driver}" if device.driver else "the driver"
    other = f", or: pip install {_BACKENDS[package]}-cu{offered[0]}" if offered[0] in _PACKAGED[package] else ""
    raise BackendError(
        f"{driver} of {device.name} supports CUDA {device.cuda}, but {_PRODUCTS[package]} {installed} needs CUDA "
        f"{needed}; update the driver to {DRIVERS.get(needed, 'a newer one')}{other}"
    )


def _require_release(name: str, origin: PlanOrigin, package: str, installed: str) -> None:
    built = origin.versions[package]
    if built == installed or (package == "tensorrt" and origin.version_compatible and _follows(built, installed)):
        return
    remedy = f"{_rebuild(package)} here"
    if _VERSION.fullmatch(built):  # whatever else the sidecar holds is nothing to paste into a shell
        remedy += f", or: pip install {_BACKENDS[package]}=={built}"
    if package == "tensorrt_rtx":
        why = "and its plans run with their own release only"
    elif origin.version_compatible:
        why = "and a version-compatible plan runs with later releases only, up to the next major version"
    else:
        why = "and without --version-compatible a plan runs with its own release only"
    raise BackendError(
        f"{name} was built with {_PRODUCTS[package]} {built[:40]!r}, here is {installed}, {why}; {remedy}"
    )


def _follows(built: str, installed: str) -> bool:
    earlier, later = _numbers(built), _numbers(installed)
    if not earlier or not later:
        return False
    return earlier <= later and (earlier[0] == later[0] or later[0] in _LATER_MAJORS.get(earlier[0], ()))


def _require_supported(name: str, known: tuple[str, ...], device: CudaDevice) -> None:
    sm = device.compute_capability
    if known and sm not in known:
        raise BackendError(
            f"TensorRT for RTX does not run on {device.name} (SM {sm}), whatever {name} was compiled for: it supports "
            f"SM {', '.join(known)}; use --backend tensorrt or onnxruntime-cuda on this GPU"
        )


def _require_compiled_for(name: str, origin: PlanOrigin, device: CudaDevice) -> None:
    sm, compiled = device.compute_capability, origin.compute_capabilities
    if compiled is None and _numbers(sm) < _AMPERE:
        compiled = (f"8.0 and later, the {PORTABLE}",)
    if compiled is not None and sm not in compiled:
        raise BackendError(
            f"{name} is compiled for SM {', '.join(compiled)[:80]!r}, and {device.name} has SM {sm}; "
            f"{_rebuild('tensorrt_rtx')} --sm {sm}"
        )


def _require_same_gpu(name: str, origin: PlanOrigin, device: CudaDevice) -> None:
    sm = device.compute_capability
    here = f"{device.name} (SM {sm})"
    if origin.hardware_compatible:
        if _numbers(sm) < _AMPERE:
            raise BackendError(
                f"{name} was built with --hardware-compatible, which needs SM 8.0 or later, and this is {here}; "
                f"{_rebuild('tensorrt')} on this GPU, without --hardware-compatible"
            )
        return
    if (origin.device or device.name, origin.compute_capability or sm) != (device.name, sm):
        built_on = f"{origin.device or 'a GPU'} (SM {origin.compute_capability or 'not known'})"
        raise BackendError(
            f"{name} was built on {built_on[:80]!r}, and this is {here}; {_rebuild('tensorrt')} on this machine, or "
            "build with --hardware-compatible, which is slower but runs on any GPU from SM 8.0 on of the same platform"
        )


def _numbers(version: str) -> tuple[int, ...]:
    """Returns the leading numbers of a version such as `10.13.2.6`; empty if it starts with none."""
    numbers: list[int] = []
    for part in version.split("."):
        if not (part.isascii() and part.isdigit() and len(part) < 10):
            break
        numbers.append(int(part))
    return tuple(numbers)


def _rebuild(package: str) -> str:
    return f"run build-engines with --backend {_BACKENDS[package]}"
