"""How TensorRT for RTX compiles and runs: kernels per shape at once, CUDA graphs of its own, and a cache of kernels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engines.execution_slots import DEPTH
from engines.runtime_cache import RuntimeCache

if TYPE_CHECKING:
    from engines.tensorrt_engine import CudaEngine
    from export.sidecar import Artifact


class RtxSettings:
    """The IRuntimeConfig of an engine; a CUDA context must be current.

    Args:
        engine: The engine; it outlives the settings.
        artifact: Its file, beside which the cache lies.
        cuda_graphs: Whether RTX captures each shape and replays it.

    Attributes:
        config: IRuntimeConfig for `create_execution_context`.
        contexts: How many execution contexts two slots need: RTX captures anew when an address changes, so one per
            slot if it captures.
        reused: Whether there were kernels of an earlier start, so that this one need not compile them.
        notes: Why kernels could not be kept; empty otherwise.
    """

    def __init__(self, engine: CudaEngine, artifact: Artifact, cuda_graphs: bool) -> None:
        trt = engine.trt
        self._graphs = cuda_graphs
        self.contexts = DEPTH if cuda_graphs else 1
        self.notes: list[str] = []
        self._file = RuntimeCache(artifact)
        self.config: Any = engine.handle.create_runtime_config()
        self.config.cuda_graph_strategy = (
            trt.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE if cuda_graphs else trt.CudaGraphStrategy.DISABLED
        )
        # Lazy, the default, runs a slower kernel until the right one is compiled, and early timings are wrong.
        self.config.dynamic_shapes_kernel_specialization_strategy = trt.DynamicShapesKernelSpecializationStrategy.EAGER
        self._cache: Any = self.config.create_runtime_cache()
        kernels = self._file.read()
        self.reused = kernels is not None and bool(self._cache.deserialize(kernels))
        if not self.config.set_runtime_cache(self._cache):
            self.reused = False
            self.notes.append("TensorRT for RTX takes no runtime cache, so it compiles its kernels at every start")

    @property
    def cuda_graphs(self) -> str:
        """Whether CUDA graphs are used, and whose they are."""
        return "yes (captured by TensorRT for RTX)" if self._graphs else "no"

    @property
    def conditions(self) -> dict[str, str]:
        """What holds for its timings beyond what holds for every engine."""
        return {"kernels": "compiled per shape before it runs"}

    def keep_kernels(self) -> None:
        """Writes the kernels beside the engine; a folder that cannot be written is worth a note only."""
        if self.notes:
            return
        try:
            blob = self._cache.serialize()
            self._file.write(b"" if blob is None else bytes(blob))
        except OSError as error:
            self.notes.append(f"the compiled kernels cannot be kept in {self._file.path} ({error.strerror})")

    def close(self) -> None:
        """Frees cache and configuration; the contexts must be gone."""
        self._cache = None
        self.config = None
