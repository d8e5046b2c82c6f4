"""ONNX Runtime as a backend: the engine is the graph itself, run on the CPU or on a GPU by one of its providers."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

from engines.onnxruntime_provider import CPU, CUDA, TENSORRT
from engines.onnxruntime_runner import OnnxEngineRunner
from export.errors import BackendError
from export.runners import session_from_model
from export.versions import versions_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from engines.backend import BuildOptions
    from engines.engine_runner import EngineRunner, RunOptions
    from engines.onnxruntime_provider import Provider
    from export.sidecar import Artifact
    from export.variant import Precision

BACKENDS = {"onnxruntime": CPU, "onnxruntime-cuda": CUDA, "onnxruntime-tensorrt": TENSORRT}
_PACKAGES = ("onnxruntime", "onnxruntime-gpu")


class OnnxRuntimeBackend:
    """Runs a variant's graph in ONNX Runtime.

    Args:
        name: One of `BACKENDS`.
    """

    suffix = ".onnx"

    def __init__(self, name: str = "onnxruntime") -> None:
        self.name = name
        self._provider: Provider = BACKENDS[name]

    def versions(self) -> Mapping[str, str]:
        """Returns the version of the installed ONNX Runtime.

        Raises:
            BackendError: None is installed, or the one without GPUs is where one is needed, or both packages are, of
                which one then shadows the other.
        """
        found = versions_of(*_PACKAGES)
        if len(found) == 2:
            raise BackendError(
                "onnxruntime and onnxruntime-gpu are both installed and overwrite each other; run: pip uninstall -y "
                "onnxruntime onnxruntime-gpu, then install the one you want"
            )
        if self._provider.is_gpu and "onnxruntime-gpu" not in found:
            first = "pip uninstall -y onnxruntime && " if found else ""
            raise BackendError(
                f"{self._provider.title} needs the package onnxruntime-gpu, which is not installed; run: {first}"
                "pip install 'engine-signoff[gpu]'"
            )
        if not found:
            raise BackendError("ONNX Runtime is not installed; run: pip install 'engine-signoff[cpu]'")
        return found

    def build(self, onnx: Path, engine: Path, options: BuildOptions) -> Mapping[str, Any]:
        """Copies the graph, so that the engines folder can be deployed by itself, and loads it once on the CPU.

        A GPU is not needed, so one machine can build for another.
        """
        shutil.copyfile(onnx, engine)
        taken = session_from_model(engine).get_inputs()[0]
        facts = {"proven_on": CPU.name, "input": "uint8" if "uint8" in taken.type else "float32"}
        if self._provider is not TENSORRT:
            return facts
        return {
            **facts,
            "batch": [options.batch_min, options.batch_opt, options.batch_max],
            "provider_options": self._provider.provider_options(options, taken.name, taken.shape),
        }

    def build_device(self, gpu: int = 0) -> Mapping[str, str]:
        """Nothing: the graph runs wherever ONNX Runtime does."""
        return {}

    def device(self, gpu: int = 0) -> str:
        """Names the CPU or the GPU.

        Raises:
            BackendError: There is no such GPU.
        """
        if not self._provider.is_gpu:
            return "CPU"
        from engines.cuda_driver import CudaDriver

        return CudaDriver().device(gpu).name

    def runner(self, engine: Artifact, options: RunOptions) -> EngineRunner:
        """Returns a runner on the provider.

        Raises:
            BackendError: The batch is larger than the engine was made for.
        """
        largest = engine.facts.get("batch", [options.batch_size])[-1]
        if options.batch_size > largest:
            raise BackendError(
                f"{engine.path.name} takes batches of at most {largest} images, not {options.batch_size}; pass "
                f"--batch-size {largest}, or build it with a larger --batch"
            )
        return OnnxEngineRunner(engine, options, self._provider)

    def options_that_matter(self, options: BuildOptions) -> Mapping[str, Any]:
        """What the engine is fed, and what TensorRT's provider builds its plans by; nothing else concerns a graph."""
        fed = {"input_form": options.input_form}
        if self._provider is not TENSORRT:
            return fed
        names = ("batch_min", "batch_opt", "batch_max", "workspace_mib", "sparse_weights", "optimization_level")
        return {**fed, **{name: getattr(options, name) for name in names}}

    def simulation_note(self, precision: Precision) -> str:
        """Says what the provider does differently from the target."""
        return self._provider.simulations.get(precision, "")

    def expected_bytes(self, onnx_bytes: int) -> int:
        """The engine is as large as the graph."""
        return onnx_bytes
