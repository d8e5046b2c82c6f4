"""ONNX Runtime on the CPU: the engine is the graph itself, proven to load."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

from engines.onnxruntime_runner import OnnxEngineRunner
from export.errors import BackendError
from export.runners import session_from_model
from export.variant import Precision
from export.versions import versions_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from engines.backend import BuildOptions
    from engines.engine_runner import EngineRunner, RunOptions
    from export.sidecar import Artifact


_SIMULATIONS = {
    Precision.FP16: "ONNX Runtime on the CPU rounds weights to FP16 but computes in FP32",
    Precision.INT8_WEIGHTS: "ONNX Runtime on the CPU rounds weights to INT8 but computes in FP32",
    Precision.INT8: "ONNX Runtime on the CPU rounds to INT8 where the graph says so but computes in FP32",
}


class OnnxRuntimeBackend:
    """Runs a variant's graph in ONNX Runtime."""

    name = "onnxruntime"
    suffix = ".onnx"

    def versions(self) -> Mapping[str, str]:
        """Returns the version of the installed ONNX Runtime.

        Raises:
            BackendError: None is installed, or both packages are, of which one then shadows the other.
        """
        found = versions_of("onnxruntime", "onnxruntime-gpu")
        if not found:
            raise BackendError("ONNX Runtime is not installed; run: pip install 'engine-signoff[cpu]'")
        if len(found) == 2:
            raise BackendError(
                "onnxruntime and onnxruntime-gpu are both installed and overwrite each other; run: pip uninstall -y "
                "onnxruntime onnxruntime-gpu, then install the one you want"
            )
        return found

    def build(self, onnx: Path, engine: Path, options: BuildOptions) -> Mapping[str, Any]:
        """Copies the graph, so that the engines folder can be deployed by itself, and loads it once."""
        shutil.copyfile(onnx, engine)
        session_from_model(engine)
        return {"provider": "CPUExecutionProvider"}

    def build_device(self) -> Mapping[str, str]:
        """Nothing: the graph runs wherever ONNX Runtime does."""
        return {}

    def device(self, gpu: int = 0) -> str:
        """Names the CPU."""
        return "CPU"

    def runner(self, engine: Artifact, options: RunOptions) -> EngineRunner:
        """Returns a runner on the CPU."""
        return OnnxEngineRunner(engine.path, options)

    def options_that_matter(self, options: BuildOptions) -> Mapping[str, Any]:
        """None does: the graph is taken as it is."""
        return {}

    def simulation_note(self, precision: Precision) -> str:
        """Says what the CPU does differently from the target."""
        return _SIMULATIONS.get(precision, "")

    def expected_bytes(self, onnx_bytes: int) -> int:
        """The engine is as large as the graph."""
        return onnx_bytes
