"""What a backend is: it builds an engine from an ONNX file and runs it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol

from export.errors import BackendError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from export.runner import Runner
    from export.variant import Precision


@dataclass(frozen=True)
class BuildOptions:
    """How TensorRT builds; precision is not among them, because the graph carries it.

    Attributes:
        batch_min: Smallest batch the engine accepts.
        batch_opt: Batch it is tuned for.
        batch_max: Largest batch it accepts.
        workspace_mib: Upper limit of scratch memory, in MiB.
        compute_capabilities: SM versions such as `8.6` that TensorRT for RTX compiles for; empty means its
            portable default.
        sparse_weights: Lets TensorRT choose kernels that skip the zeros of 2:4 sparsity.
    """

    batch_min: int = 1
    batch_opt: int = 8
    batch_max: int = 32
    workspace_mib: int = 2048
    compute_capabilities: tuple[str, ...] = ()
    sparse_weights: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.batch_min <= self.batch_opt <= self.batch_max:
            raise BackendError(
                f"batch sizes {self.batch_min},{self.batch_opt},{self.batch_max}; expected "
                "1 <= smallest <= typical <= largest"
            )

    def to_dict(self) -> dict[str, Any]:
        """Returns the options for a sidecar."""
        return {**asdict(self), "compute_capabilities": list(self.compute_capabilities)}


class Backend(Protocol):
    """Builds and runs engines of one kind."""

    name: str
    suffix: str

    def versions(self) -> Mapping[str, str]:
        """Returns the versions that determine an engine; raises BackendError if the backend is not installed."""
        ...

    def build(self, onnx: Path, engine: Path, options: BuildOptions) -> Mapping[str, Any]:
        """Builds an engine file and returns facts for its sidecar; raises BackendError if that fails."""
        ...

    def device(self) -> str:
        """Names what its runner computes on, such as `CPU`."""
        ...

    def runner(self, engine: Path) -> Runner:
        """Returns a runner of an engine whose digest was checked; raises BackendError if it cannot run here."""
        ...

    def options_that_matter(self, options: BuildOptions) -> Mapping[str, Any]:
        """Returns the options that determine this backend's engines."""
        ...

    def simulation_note(self, precision: Precision) -> str:
        """Says what its scores cannot vouch for; empty if they come from the target's arithmetic."""
        ...

    def expected_bytes(self, onnx_bytes: int) -> int:
        """Estimates the size of an engine."""
        ...


def backend_from_name(name: str) -> Backend:
    """Returns a backend; its packages are imported only when it works.

    Raises:
        BackendError: There is no such backend.
    """
    from engines.onnxruntime_backend import OnnxRuntimeBackend
    from engines.tensorrt_backend import TensorRTBackend

    backends: dict[str, Backend] = {
        "onnxruntime": OnnxRuntimeBackend(),
        "tensorrt-rtx": TensorRTBackend("tensorrt-rtx", "tensorrt_rtx"),
        "tensorrt": TensorRTBackend("tensorrt", "tensorrt"),
    }
    if name not in backends:
        raise BackendError(f"unknown backend {name!r}; expected one of {', '.join(backends)}")
    return backends[name]


def default_backends() -> tuple[str, ...]:
    """Returns ONNX Runtime, which runs everywhere, and TensorRT for RTX where it is installed."""
    from importlib.util import find_spec

    return ("onnxruntime", "tensorrt-rtx") if find_spec("tensorrt_rtx") else ("onnxruntime",)
