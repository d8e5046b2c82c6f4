"""Builds TensorRT plans, classic or RTX, strongly typed: precision is what the ONNX graph says."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from engines.sparsity import sparsity_told
from engines.tensorrt_module import Cancellation, message_log, progress_monitor, tensorrt_module
from export.errors import BackendError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from engines.backend import BuildOptions
    from engines.engine_runner import EngineRunner, RunOptions
    from engines.tensorrt_module import MessageLog
    from export.sidecar import Artifact
    from export.variant import Precision

# uint8 with zero point 0 is taken for int8 with only this warning, and every value above half the range saturates.
_MISREAD = "Defaulting to INT8"
_MIB = 1 << 20


class TensorRTBackend:
    """Builds plans with `tensorrt` (10.12 or later) or `tensorrt_rtx`, whose builder needs no GPU."""

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
            BackendError: The package is missing, the parser rejects a node, or the builder fails; the message holds
                TensorRT's own words.
        """
        trt = tensorrt_module(self._package)
        if not hasattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED"):
            raise BackendError(f"{self._package} {trt.__version__} is too old; install 10.12 or later")
        log = message_log(self._package)
        log.errors.clear()
        log.warnings.clear()
        log.sparsity.clear()
        builder = self._created(trt.Builder, log)
        network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
        _parse(trt, log, network, onnx)
        config = _configuration(trt, builder, network, options)
        if options.sparse_weights:
            _allow_sparsity(trt, config, log)
        plan = self._serialized(builder, network, config, onnx.stem)
        engine.write_bytes(plan)
        return {
            "batch": [options.batch_min, options.batch_opt, options.batch_max],
            "compute_capabilities": list(options.compute_capabilities) or "portable default",
            "layers_before_fusion": int(network.num_layers),
            "warnings": sorted(set(log.warnings))[:20],
            **({"sparsity": asdict(sparsity_told(log.sparsity))} if options.sparse_weights else {}),
        }

    def build_device(self) -> Mapping[str, str]:
        """Nothing: TensorRT for RTX compiles for the GPUs it is told."""
        return {}

    def device(self, gpu: int = 0) -> str:
        """Names the kind of device."""
        return "GPU"

    def runner(self, engine: Artifact, options: RunOptions) -> EngineRunner:
        """Refuses: running a plan takes the GPU runner, which this release does not have yet.

        Raises:
            BackendError: Always.
        """
        raise BackendError(
            f"{engine.path.name} cannot be run: this release builds TensorRT plans but has no GPU runner yet; evaluate "
            "with --backend onnxruntime, whose figures are marked as a simulation"
        )

    def options_that_matter(self, options: BuildOptions) -> Mapping[str, Any]:
        """All of them do."""
        return options.to_dict()

    def simulation_note(self, precision: Precision) -> str:
        """Plans run in the target's own arithmetic."""
        return ""

    def expected_bytes(self, onnx_bytes: int) -> int:
        """Plans hold the weights plus compiled kernels, about 4 MiB of them for an EfficientNet-B5."""
        return onnx_bytes + 4 * _MIB

    def _created(self, builder_class: Any, log: Any) -> Any:
        try:
            return builder_class(log)
        except (RuntimeError, TypeError) as error:
            raise BackendError(_told(f"{self._package} cannot start a build here ({error})", log.errors)) from None

    def _serialized(self, builder: Any, network: Any, config: Any, label: str) -> bytes:
        """Builds in a worker thread, so that Ctrl-C reaches this one and cancels at the next step."""
        cancellation = Cancellation()
        monitor = progress_monitor(self._package, f"building {label}", sys.stderr.isatty(), cancellation)
        config.progress_monitor = monitor
        with ThreadPoolExecutor(1, thread_name_prefix="tensorrt-build") as pool:
            future = pool.submit(builder.build_serialized_network, network, config)
            try:
                blob = future.result()
            except KeyboardInterrupt:
                cancellation.requested = True
                raise
        if blob is None:
            raise BackendError(_told(f"{self.name} cannot build {label}", message_log(self._package).errors))
        return bytes(blob)


def _parse(trt: Any, log: Any, network: Any, onnx: Path) -> None:
    parser = trt.OnnxParser(network, log)
    if not parser.parse(onnx.read_bytes()):
        errors = [parser.get_error(index) for index in range(parser.num_errors)]
        told = [f"node {error.node_name() or '?'}: {error.desc()}" for error in errors]
        raise BackendError(_told(f"the ONNX parser rejects {onnx.name}", told or log.errors))
    misread = [warning for warning in log.warnings if _MISREAD in warning]
    if misread:
        raise BackendError(_told(f"{onnx.name} has uint8 quantizers, which TensorRT misreads as int8", misread))


def _configuration(trt: Any, builder: Any, network: Any, options: BuildOptions) -> Any:
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace_mib * _MIB)
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    config.clear_flag(trt.BuilderFlag.TF32)  # an FP32 engine is the reference, so it multiplies in FP32
    profile = builder.create_optimization_profile()
    for index in range(network.num_inputs):
        tensor = network.get_input(index)
        fixed = tuple(tensor.shape)[1:]
        profile.set_shape(
            tensor.name, (options.batch_min, *fixed), (options.batch_opt, *fixed), (options.batch_max, *fixed)
        )
    config.add_optimization_profile(profile)
    if options.compute_capabilities:
        _target(trt, config, options.compute_capabilities)
    return config


def _allow_sparsity(trt: Any, config: Any, log: MessageLog) -> None:
    """Sets the flag; a package without it builds the same plan from dense kernels, so that is worth a warning only."""
    flag = getattr(trt.BuilderFlag, "SPARSE_WEIGHTS", None)
    if flag is None:
        log.warnings.append(f"TensorRT {trt.__version__} has no flag SPARSE_WEIGHTS, so 2:4 sparsity speeds up nothing")
        return
    config.set_flag(flag)


def _target(trt: Any, config: Any, capabilities: Sequence[str]) -> None:
    """Tells TensorRT for RTX which SM versions to compile for; classic TensorRT builds for the GPU it sees."""
    known = getattr(trt, "ComputeCapability", None)
    if known is None:
        raise BackendError("--sm applies to tensorrt-rtx only: classic TensorRT builds for the GPU of this machine")
    config.num_compute_capabilities = len(capabilities)
    for index, capability in enumerate(capabilities):
        member = getattr(known, "SM" + capability.replace(".", ""), None)
        if member is None or not config.set_compute_capability(member, index):
            names = ", ".join(sorted(name for name in dir(known) if name.startswith("SM")))
            raise BackendError(f"TensorRT for RTX does not support SM {capability}; it knows {names}")


def _told(what: str, messages: Sequence[str]) -> str:
    details = "; ".join(" ".join(message.split())[:300] for message in messages[:3])
    return f"{what}: {details or 'it gave no reason'}"
