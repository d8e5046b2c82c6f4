"""What a backend is: it builds an engine from an ONNX file and runs it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol, get_args

from export.contract import InputForm
from export.errors import BackendError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from engines.engine_runner import EngineRunner, RunOptions
    from export.sidecar import Artifact
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
        version_compatible: The plan also runs with later releases of TensorRT of the same major version.
        hardware_compatible: The plan also runs on other GPUs, from Ampere on.
        optimization_level: How long TensorRT searches for kernels, 0 to 5; None is its default.
        timing_cache: Folder of measured kernel times, one file per device and version; None for none.
        input_form: What the engine is fed.
    """

    batch_min: int = 1
    batch_opt: int = 8
    batch_max: int = 32
    workspace_mib: int = 2048
    compute_capabilities: tuple[str, ...] = ()
    sparse_weights: bool = False
    version_compatible: bool = False
    hardware_compatible: bool = False
    optimization_level: int | None = None
    timing_cache: Path | None = None
    input_form: InputForm = "float32"

    def __post_init__(self) -> None:
        if not 1 <= self.batch_min <= self.batch_opt <= self.batch_max:
            raise BackendError(
                f"batch sizes {self.batch_min},{self.batch_opt},{self.batch_max}; expected "
                "1 <= smallest <= typical <= largest"
            )
        if self.workspace_mib < 1:
            raise BackendError(f"workspace of {self.workspace_mib} MiB; expected 1 or more")
        if self.optimization_level not in (None, *range(6)):
            raise BackendError(f"optimization level {self.optimization_level}; expected 0 to 5, or none")
        if self.input_form not in get_args(InputForm):
            raise BackendError(f"input {self.input_form!r}; expected one of {', '.join(get_args(InputForm))}")

    def to_dict(self) -> dict[str, Any]:
        """Returns the options that determine an engine; a timing cache only makes its build quicker."""
        determining = {name: value for name, value in asdict(self).items() if name != "timing_cache"}
        return {**determining, "compute_capabilities": list(self.compute_capabilities)}


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

    def build_device(self, gpu: int = 0) -> Mapping[str, str]:
        """Tells what of this machine an engine is bound to that is built on a GPU of it; empty if nothing."""
        ...

    def device(self, gpu: int = 0) -> str:
        """Names what its runner computes on, such as `CPU` or, where a GPU is chosen by its index, `NVIDIA H200`."""
        ...

    def runner(self, engine: Artifact, options: RunOptions) -> EngineRunner:
        """Returns a runner of an engine; raises BackendError if it cannot run here, in words that say what to do."""
        ...

    def options_that_matter(self, options: BuildOptions) -> Mapping[str, Any]:
        """Returns the options that determine this backend's engines; raises BackendError if one cannot be had."""
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
    from engines.onnxruntime_backend import BACKENDS, OnnxRuntimeBackend
    from engines.tensorrt_backend import TensorRTBackend

    backends: dict[str, Backend] = {
        **{known: OnnxRuntimeBackend(known) for known in BACKENDS},
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
