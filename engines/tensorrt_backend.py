"""Builds TensorRT plans, classic or RTX: precision is what the ONNX graph says."""

from __future__ import annotations

from dataclasses import asdict
from time import perf_counter
from typing import TYPE_CHECKING, Any

from engines.cuda_requirement import cuda_major_of
from engines.plan_layers import layers_json
from engines.sparsity import sparsity_told
from engines.tensorrt_api import api_from_module
from engines.tensorrt_build import PlanBuild
from engines.tensorrt_graph import parsable_graph
from engines.tensorrt_module import message_log, tensorrt_module
from engines.timing_cache import TimingCacheFile
from export.errors import BackendError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import onnx

    from engines.backend import BuildOptions
    from engines.engine_runner import EngineRunner, RunOptions
    from engines.tensorrt_api import TensorRTApi
    from engines.tensorrt_module import MessageLog
    from export.sidecar import Artifact
    from export.variant import Precision

_MIB = 1 << 20
_MOST_OF_TENSORRT = 20


class TensorRTBackend:
    """Builds plans with `tensorrt` (8.6 or later, for the GPU of this machine) or `tensorrt_rtx`, which needs none."""

    suffix = ".plan"

    def __init__(self, name: str, package: str) -> None:
        self.name = name
        self._package = package

    def versions(self) -> Mapping[str, str]:
        """Returns the version of the package, which a plan is bound to."""
        return {self._package: str(tensorrt_module(self._package).__version__)}

    def build(self, onnx: Path, engine: Path, options: BuildOptions) -> Mapping[str, Any]:
        """Parses the graph and writes a plan.

        Raises:
            BackendError: The package or its GPU is missing, an option is unsupported by it, the parser rejects a node,
                or the builder fails; the message holds TensorRT's own words and, where known, what to do.
        """
        from engines.precisions import weights_bytes

        api = self._api
        api.require(options)
        device = self.build_device()
        graph = parsable_graph(api, onnx, options)
        log = message_log(self._package)
        for messages in (log.errors, log.warnings, log.sparsity):
            messages.clear()
        cache = TimingCacheFile(options.timing_cache, device, api.module.__version__) if options.timing_cache else None
        started = perf_counter()
        plan = PlanBuild(api, self._package, log, options).plan(graph, onnx.name, cache)
        seconds = perf_counter() - started
        engine.write_bytes(plan.data)
        precisions, notice = _precisions(api, log, plan.data, graph.source, options)
        told = sorted({" ".join(warning.split()) for warning in log.warnings})
        targets = list(options.compute_capabilities) or "portable default"
        cuda = cuda_major_of(self._package)
        return {
            "batch": [options.batch_min, options.batch_opt, options.batch_max],
            "compute_capabilities": targets if api.ahead_of_time else [device["compute_capability"]],
            **({"device": dict(device)} if device else {}),
            **({"cuda_major": cuda} if cuda is not None else {}),
            "precisions": precisions,
            "weights_bytes": weights_bytes(graph.source),
            "layers_before_fusion": plan.layers_before_fusion,
            "build_seconds": round(seconds, 3),
            "version_compatible": options.version_compatible,
            "hardware_compatible": options.hardware_compatible,
            "warnings": [*graph.warnings, *plan.notices, *notice, *told[:_MOST_OF_TENSORRT]],
            **({"rewritten": graph.rewritten} if graph.rewritten else {}),
            **({"sparsity": asdict(sparsity_told(log.sparsity))} if options.sparse_weights else {}),
        }

    def build_device(self, gpu: int = 0) -> Mapping[str, str]:
        """Returns a GPU as classic TensorRT builds for it; nothing for RTX, which compiles for those it is told.

        Raises:
            BackendError: There is no GPU, no driver or no package to ask them with.
        """
        if self._api.ahead_of_time:
            return {}
        from engines.cuda_choice import open_cuda

        device = open_cuda(gpu).device
        return {
            "name": device.name,
            "compute_capability": device.compute_capability,
            "driver": device.driver,
            "cuda": device.cuda,
        }

    def device(self, gpu: int = 0) -> str:
        """Returns the name of the GPU that runs plans; raises BackendError if there is none."""
        from engines.cuda_choice import open_cuda

        return open_cuda(gpu).device.name

    def runner(self, engine: Artifact, options: RunOptions) -> EngineRunner:
        """Returns a runner on the GPU.

        Raises:
            BackendError: The plan cannot run here; the message says why and what to do.
        """
        from engines.tensorrt_runner import TensorRTRunner

        return TensorRTRunner(self._package, engine, options)

    def options_that_matter(self, options: BuildOptions) -> Mapping[str, Any]:
        """Returns all of them.

        Raises:
            BackendError: This TensorRT does not have one that was asked for.
        """
        self._api.require(options)
        return options.to_dict()

    def simulation_note(self, precision: Precision) -> str:
        """Plans run in the target's own arithmetic."""
        return ""

    def expected_bytes(self, onnx_bytes: int) -> int:
        """Plans hold the weights plus compiled kernels, about 4 MiB of them for an EfficientNet-B5."""
        return onnx_bytes + 4 * _MIB

    @property
    def _api(self) -> TensorRTApi:
        return api_from_module(tensorrt_module(self._package))


def _precisions(
    api: TensorRTApi, log: MessageLog, plan: bytes, graph: onnx.ModelProto, options: BuildOptions
) -> tuple[Mapping[str, Any], Sequence[str]]:
    """Counts layers per precision: those of the plan where it can be asked, else those of the graph, with the reason.

    A plan for RTX is one opaque layer until a GPU compiles it, and one that is compatible with later versions holds
    host code, which is not run to answer a question.
    """
    from engines.precisions import precisions_from_inspector, precisions_of_graph

    if api.ahead_of_time or options.version_compatible:
        return precisions_of_graph(graph), ()
    try:
        found = precisions_from_inspector(layers_json(api.module, log, plan))
        why = "the engine inspector does not tell the type of each layer"
    except BackendError as error:
        found, why = None, str(error)
    if found is not None:
        return found, ()
    return precisions_of_graph(graph), (f"precisions are those of the graph: {why}",)
