"""Sessions of ONNX Runtime on the provider that was asked for, or an error that says what is missing."""

from __future__ import annotations

import io
import os
import re
import sys
import tempfile
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from engines.onnxruntime_provider import TENSORRT
from export.errors import BackendError
from export.runners import session_from_model, session_options
from export.versions import versions_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from engines.onnxruntime_provider import Provider

TF32_VARIABLE = "NVIDIA_TF32_OVERRIDE"
_MISSING_LIBRARY = re.compile(r"([\w.+-]+\.so[\w.]*): cannot open shared object file")
_CUDA_FAILURE = re.compile(r"CUDA failure \d+: [^;\n]+")
_LOGGED_ERROR = re.compile(r"\[E:onnxruntime:[^\]]*\]\s*(.+)")
_TENSORRT_LIBRARY = re.compile(r"libnv(?:infer\w*|onnxparser)\.so\.(\d+)")
_TENSORRT_PACKAGES = ("tensorrt", "tensorrt-cu12", "tensorrt-cu13")
# ONNX Runtime begins with the signature of a C++ function and ends with the reason.
_LAST_CHARACTERS = 300


@dataclass
class _Log:
    """What was written to standard error."""

    text: str = ""


def gpu_session(model: bytes, name: str, provider: Provider, gpu: int, options: Mapping[str, str], profile: str) -> Any:
    """Creates a session on a GPU that records a profile until `end_profiling` is called.

    Args:
        model: The graph, as bytes that were checked.
        name: What messages call it.
        provider: The provider; the session has it first.
        gpu: Index of the GPU.
        options: What the provider is told of the engine.
        profile: Beginning of the path of the profile.

    Raises:
        BackendError: The provider cannot be had on this machine, or refuses the graph.
    """
    import onnxruntime

    settings = session_options()
    settings.enable_profiling = True
    settings.profile_file_prefix = profile
    if provider is TENSORRT:
        # Any optimization before TensorRT sees the graph may fold weights out of INT8 or move Q/DQ pairs.
        settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        # The provider has no option for TF32, but NVIDIA's libraries heed the variable.
        os.environ.setdefault(TF32_VARIABLE, "0")
    _load_libraries(onnxruntime, provider)
    session, raised = None, None
    with _logged() as log:
        try:
            # Without `enable_fallback=0`, the Python class itself goes on with the CPU.
            session = onnxruntime.InferenceSession(
                model, settings, providers=provider.chain(gpu, options), enable_fallback=0
            )
        except Exception as error:
            # ONNX Runtime's exceptions share no public base class besides Exception.
            raised = error
    # Where a library is missing, ONNX Runtime logs that, drops the provider and raises nothing.
    if session is None or provider.name not in session.get_providers():
        raise refusal(provider, name, str(raised or ""), log.text) from raised
    sys.stderr.write(log.text)
    # A kernel that fails later must not move the session to the CPU either.
    session.disable_fallback()
    return session


def cpu_session(model: bytes, name: str, threads: int = 0) -> Any:
    """Creates a session on the CPU, whatever else the installed ONNX Runtime has.

    Args:
        model: The graph, as bytes that were checked.
        name: What messages call it.
        threads: Threads within an operator; 0 lets ONNX Runtime take every core.

    Raises:
        BackendError: ONNX Runtime is not installed or refuses the graph.
    """
    return session_from_model(model, threads, name)


def refusal(provider: Provider, name: str, raised: str, logged: str) -> BackendError:
    """Returns the error of a session that did not come about: what ONNX Runtime said and what mends it.

    Args:
        provider: What was asked for.
        name: What the graph is called.
        raised: Text of ONNX Runtime's exception; empty if it raised none.
        logged: What it wrote to standard error meanwhile.
    """
    library = _MISSING_LIBRARY.search(logged) or _MISSING_LIBRARY.search(raised)
    if library:
        told = f"{provider.title} cannot be loaded: {library.group(1)} is missing"
        return BackendError(f"{told}; {_remedy(library.group(1))}")
    cuda = _CUDA_FAILURE.search(raised) or _CUDA_FAILURE.search(logged)
    if cuda:
        return BackendError(f"{provider.title} cannot run {name}: {cuda.group(0).strip()}; see what nvidia-smi shows")
    errors = _LOGGED_ERROR.findall(logged)
    reason = " ".join((raised or (errors[-1] if errors else "it gave no reason")).split())[-_LAST_CHARACTERS:]
    return BackendError(f"{provider.title} cannot run {name}: {reason}")


def _remedy(library: str) -> str:
    if library.startswith("libcuda.so"):
        return "it belongs to NVIDIA's driver: install that, or use a machine with an NVIDIA GPU"
    tensorrt = _TENSORRT_LIBRARY.match(library)
    if tensorrt:
        major = tensorrt.group(1)
        found = versions_of(*_TENSORRT_PACKAGES)
        installed = f" ({', '.join(f'{name} {version}' for name, version in found.items())} is installed)"
        return (
            f"this release of onnxruntime-gpu needs TensorRT {major}{installed if found else ''}: "
            f"pip install 'tensorrt=={major}.*'"
        )
    return "run: pip install 'onnxruntime-gpu[cuda,cudnn]', or add CUDA's and cuDNN's folders to LD_LIBRARY_PATH"


def _load_libraries(onnxruntime: Any, provider: Provider) -> None:
    """Loads CUDA, cuDNN and TensorRT from Python packages, where the dynamic linker would not look."""
    preload = getattr(onnxruntime, "preload_dlls", None)  # since 1.21
    if preload is not None:
        # It prints what it does not find; the session's own error tells better what of that is needed.
        with redirect_stdout(io.StringIO()):
            preload()
    if provider is TENSORRT and find_spec("tensorrt"):
        with suppress(ImportError, OSError):
            __import__("tensorrt")


@contextmanager
def _logged() -> Iterator[_Log]:
    """Collects what native code writes to standard error, which is the only place where ONNX Runtime gives reasons."""
    log = _Log()
    sys.stderr.flush()
    before = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield log
        finally:
            os.dup2(before, 2)
            os.close(before)
            file.seek(0)
            log.text = file.read().decode(errors="replace")
