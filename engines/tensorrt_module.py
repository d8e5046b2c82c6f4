"""The seam to the TensorRT packages: import, logger and progress, the same for classic TensorRT and for RTX."""

from __future__ import annotations

import importlib
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

from tqdm import tqdm

from engines.sparsity import SPARSITY_MARK
from export.errors import BackendError

if TYPE_CHECKING:
    from types import ModuleType

_REMEDY = {
    "tensorrt_rtx": "pip install 'engine-signoff[rtx]'",
    "tensorrt": "pip install tensorrt, in the version of the device's JetPack or driver",
}


class MessageLog(Protocol):
    """A TensorRT logger that keeps what it was told; of mere information, only what concerns sparsity."""

    errors: list[str]
    warnings: list[str]
    sparsity: list[str]


def tensorrt_module(package: str) -> ModuleType:
    """Imports `tensorrt` or `tensorrt_rtx`.

    Raises:
        BackendError: The package, or a library it needs, is not installed.
    """
    try:
        return importlib.import_module(package)
    except (ImportError, OSError) as error:
        told = f"{package} cannot be imported ({' '.join(str(error).split())[:300]})"
        if isinstance(error, ModuleNotFoundError) and error.name == package:
            raise BackendError(f"{told}; run: {_REMEDY[package]}") from None
        raise BackendError(
            f"{told}: a library that it needs is missing or of another version; add its folder to LD_LIBRARY_PATH, or "
            f"install both anew: {_REMEDY[package]}"
        ) from None


@cache
def message_log(package: str) -> Any:
    """Returns the process's only logger of a package; TensorRT ignores every further one with a warning."""
    trt = tensorrt_module(package)

    class _Log(trt.ILogger):  # type: ignore[misc, name-defined]  # the base class exists only at run time
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []
            self.warnings: list[str] = []
            self.sparsity: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR):
                self.errors.append(message)
            elif severity == trt.ILogger.Severity.WARNING:
                self.warnings.append(message)
            elif SPARSITY_MARK in message:
                self.sparsity.append(message)

    return _Log()


class Cancellation:
    """A flag that another thread raises to stop a build."""

    def __init__(self) -> None:
        self.requested = False

    def request(self) -> None:
        """Raises the flag."""
        self.requested = True


def progress_monitor(package: str, label: str, show: bool, cancellation: Cancellation) -> Any:
    """Returns an IProgressMonitor that draws the root phase as one bar and stops the build on request.

    TensorRT calls it from several threads and may finish a phase before all its steps are done.
    """
    trt = tensorrt_module(package)

    class _Monitor(trt.IProgressMonitor):  # type: ignore[misc, name-defined]  # as above
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self._root = ""
            self._bar: Any = None

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            if not parent_phase and self._bar is None:
                self._root = phase_name
                self._bar = tqdm(desc=label, total=num_steps, unit="step", disable=not show, leave=False)

        def phase_finish(self, phase_name: str) -> None:
            if phase_name == self._root and self._bar is not None:
                self._bar.close()

        def step_complete(self, phase_name: str, step: int) -> bool:
            if phase_name == self._root and self._bar is not None:
                self._bar.update(1)
            return not cancellation.requested

    return _Monitor()
