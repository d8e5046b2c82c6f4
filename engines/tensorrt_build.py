"""One build of a TensorRT plan: parser, configuration, timing cache and the build itself."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engines.build_remedies import explained
from engines.interruptible import interruptible
from engines.tensorrt_module import Cancellation, progress_monitor
from engines.weak_typing import allow_and_obey
from export.errors import BackendError

if TYPE_CHECKING:
    from engines.backend import BuildOptions
    from engines.tensorrt_api import TensorRTApi
    from engines.tensorrt_graph import ParsableGraph
    from engines.tensorrt_module import MessageLog
    from engines.timing_cache import TimingCacheFile

# uint8 with zero point 0 is taken for int8 with only this warning, and every value above half the range saturates.
_MISREAD = "Defaulting to INT8"
_MIB = 1 << 20


@dataclass(frozen=True)
class Plan:
    """A built plan.

    Attributes:
        data: The file.
        layers_before_fusion: Layers that the parser made.
        notices: What a user should know of the build beyond TensorRT's own warnings.
    """

    data: bytes
    layers_before_fusion: int
    notices: tuple[str, ...]


class PlanBuild:
    """Builds plans with one TensorRT.

    Args:
        api: The TensorRT.
        package: Its Python package.
        log: The process's logger of that package; warnings of the build end up there.
        options: How to build.
    """

    def __init__(self, api: TensorRTApi, package: str, log: MessageLog, options: BuildOptions) -> None:
        self._api = api
        self._trt = api.module
        self._package = package
        self._log = log
        self._options = options
        self._notices: list[str] = []

    def plan(self, graph: ParsableGraph, label: str, cache: TimingCacheFile | None) -> Plan:
        """Builds a plan.

        Args:
            graph: What to parse.
            label: Name of the graph for messages.
            cache: Times of kernels measured before, or None to measure all of them.

        Raises:
            BackendError: TensorRT cannot start, its parser rejects a node, or it cannot build; the message has its
                own words and, where known, what to do.
        """
        builder = self.created_builder()
        network = builder.create_network(self._api.network_flags())
        self._parse(network, graph, label)
        config = self._configuration(builder, network)
        if not self._api.strongly_typed:
            allow_and_obey(self._api, network, config, graph.precisions)
        if self._options.sparse_weights:
            allow_sparsity(self._trt, config, self._log)
        stored = self._attach(cache, config) if cache else b""
        data = self._serialized(builder, network, config, label)
        if cache:
            self._store(cache, config, stored)
        return Plan(data, int(network.num_layers), tuple(self._notices))

    def created_builder(self) -> Any:
        """Returns TensorRT's builder; raises BackendError if it cannot be had, as classic TensorRT's without a GPU."""
        try:
            return self._trt.Builder(self._log)
        except (RuntimeError, TypeError) as error:
            told = [*self._log.errors, *self._log.warnings]  # 8.6 says as a warning that there is no driver
            raise BackendError(explained(f"{self._api.name} cannot start a build here ({error})", told)) from None

    def _parse(self, network: Any, graph: ParsableGraph, label: str) -> None:
        parser = self._trt.OnnxParser(network, self._log)
        if not parser.parse(graph.serialized):
            errors = [parser.get_error(index) for index in range(parser.num_errors)]
            told = [f"node {self._api.node_of(error, graph.nodes)}: {error.desc()}" for error in errors]
            raise BackendError(explained(f"{self._api.name}'s parser rejects {label}", told or self._log.errors))
        misread = [warning for warning in self._log.warnings if _MISREAD in warning]
        if misread:
            raise BackendError(explained(f"{label} has uint8 quantizers, which TensorRT misreads as int8", misread))

    def _configuration(self, builder: Any, network: Any) -> Any:
        trt, options = self._trt, self._options
        config = builder.create_builder_config()
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace_mib * _MIB)
        config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
        config.clear_flag(trt.BuilderFlag.TF32)  # an FP32 engine is the reference, so it multiplies in FP32
        sources = self._api.tactic_sources()
        if sources is not None and not config.set_tactic_sources(sources):
            raise BackendError(explained(f"{self._api.name} cannot do without cuBLAS and cuDNN", self._log.errors))
        if options.optimization_level is not None:
            config.builder_optimization_level = options.optimization_level
        if options.version_compatible:
            config.set_flag(self._api.flag("VERSION_COMPATIBLE"))
        if options.hardware_compatible:
            config.hardware_compatibility_level = trt.HardwareCompatibilityLevel.AMPERE_PLUS
        config.add_optimization_profile(self._profile(builder, network))
        if options.compute_capabilities:
            self._api.target(config, options.compute_capabilities)
        return config

    def _profile(self, builder: Any, network: Any) -> Any:
        profile, options = builder.create_optimization_profile(), self._options
        for index in range(network.num_inputs):
            tensor = network.get_input(index)
            fixed = tuple(tensor.shape)[1:]
            sizes = (options.batch_min, options.batch_opt, options.batch_max)
            profile.set_shape(tensor.name, *((size, *fixed) for size in sizes))
        return profile

    def _attach(self, cache: TimingCacheFile, config: Any) -> bytes:
        """Gives TensorRT the stored times and returns them; a file that it refuses is replaced after the build."""
        stored, ignored = cache.read()
        told = len(self._log.errors)
        times = config.create_timing_cache(stored)
        if stored and (times is None or not config.set_timing_cache(times, ignore_mismatch=False)):
            stored, ignored = b"", f"timing cache {cache.path.name} was ignored: it is another device's or release's"
            times = config.create_timing_cache(b"")
            config.set_timing_cache(times, ignore_mismatch=False)
        elif not stored:
            config.set_timing_cache(times, ignore_mismatch=False)
        del self._log.errors[told:]  # it is no error of the build
        if ignored:
            self._notices.append(ignored)
        return stored

    def _store(self, cache: TimingCacheFile, config: Any, stored: bytes) -> None:
        def merged(current: bytes) -> bytes:
            times = config.get_timing_cache()
            if current and current != stored:  # another build has finished meanwhile
                others = config.create_timing_cache(current)
                if others is not None:
                    times.combine(others, ignore_mismatch=False)
            return bytes(times.serialize())

        try:
            cache.update(merged)
        except OSError as error:
            # The plan is there; only the next build has to measure again.
            self._notices.append(f"timing cache {cache.path.name} was not written: {error.strerror}")

    def _serialized(self, builder: Any, network: Any, config: Any, label: str) -> bytes:
        cancellation = Cancellation()
        if self._api.reports_progress:
            shown = f"building {label}"
            monitor = progress_monitor(self._package, shown, sys.stderr.isatty(), cancellation)
            config.progress_monitor = monitor
        blob = interruptible(
            lambda: builder.build_serialized_network(network, config),
            cancellation.request if self._api.reports_progress else None,
        )
        if blob is None:
            raise BackendError(explained(f"{self._api.name} cannot build {label}", self._log.errors))
        return bytes(blob)


def allow_sparsity(trt: Any, config: Any, log: MessageLog) -> None:
    """Sets the flag; a package without it builds the same plan from dense kernels, so that is worth a warning only."""
    flag = getattr(trt.BuilderFlag, "SPARSE_WEIGHTS", None)
    if flag is None:
        log.warnings.append(f"TensorRT {trt.__version__} has no flag SPARSE_WEIGHTS, so 2:4 sparsity speeds up nothing")
        return
    config.set_flag(flag)
