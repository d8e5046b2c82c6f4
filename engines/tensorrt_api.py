"""What one TensorRT can do, found by looking at its module: the only place where releases differ.

Three kinds are known. Classic TensorRT 8.6 is weakly typed: flags allow precisions and constraints choose among them.
From 9 on it is strongly typed where a flag says so, whose bit moved with TensorRT 11. TensorRT for RTX is always
strongly typed and compiles ahead of time for GPUs that it is told, so it measures nothing while it builds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from export.errors import BackendError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from engines.backend import BuildOptions

_PRECISION_FLAGS = {"FP16": "FP16", "INT8": "INT8"}
_EXTERNAL_TACTICS = ("CUBLAS", "CUBLAS_LT", "CUDNN")


@dataclass(frozen=True)
class TensorRTApi:
    """One TensorRT package.

    Attributes:
        module: The imported `tensorrt` or `tensorrt_rtx`.
        name: Its name and version for messages.
        strongly_typed: Whether layers compute in the types of the ONNX graph of themselves.
        ahead_of_time: Whether it is TensorRT for RTX, which builds for GPUs that need not be here.
        reports_progress: Whether it has IProgressMonitor, which is also the only way to cancel a build.
    """

    module: Any
    name: str
    strongly_typed: bool
    ahead_of_time: bool
    reports_progress: bool

    def require(self, options: BuildOptions) -> None:
        """Refuses options that this TensorRT would ignore or fail at, before anything is built.

        Raises:
            BackendError: There is one.
        """
        classic_only = {
            "--version-compatible": (options.version_compatible, "a plan for RTX runs with the release that built it"),
            "--hardware-compatible": (options.hardware_compatible, "name the GPUs with --sm, or none for its default"),
            "--timing-cache": (
                options.timing_cache is not None,
                "TensorRT for RTX measures no kernels while it builds",
            ),
        }
        for option, (asked, reason) in classic_only.items():
            if asked and self.ahead_of_time:
                raise BackendError(f"{option} is unsupported by {self.name}: {reason}; drop it for this backend")
        if options.compute_capabilities and not self.ahead_of_time:
            raise BackendError(
                f"--sm is unsupported by {self.name}: it builds for the GPU of this machine; drop it for this backend"
            )
        for capability in options.compute_capabilities:
            self._require_known(capability)
        if options.version_compatible:
            self.flag("VERSION_COMPATIBLE")

    def network_flags(self) -> int:
        """Returns the flags of create_network; the bit of a member is never written as a number, because it moved."""
        known = getattr(self.module.NetworkDefinitionCreationFlag, "__members__", {})
        wanted = [member for name in ("EXPLICIT_BATCH", "STRONGLY_TYPED") if (member := known.get(name)) is not None]
        return sum(1 << int(member) for member in wanted)

    def flag(self, name: str) -> Any:
        """Returns a builder flag.

        Raises:
            BackendError: This TensorRT has none of that name.
        """
        found = getattr(self.module.BuilderFlag, name, None)
        if found is None:
            raise BackendError(f"the builder flag {name} is unsupported by {self.name}; use a release that has it")
        return found

    def typing_flags(self, precisions: Iterable[str]) -> tuple[Any, ...]:
        """Returns the flags without which a weakly typed network would not be computed as its graph says.

        Args:
            precisions: `FP32`, `FP16` or `INT8`, as they occur in the graph.
        """
        if self.strongly_typed:
            return ()
        needed = [_PRECISION_FLAGS[name] for name in sorted(set(precisions)) if name in _PRECISION_FLAGS]
        return tuple(self.flag(name) for name in (*needed, "OBEY_PRECISION_CONSTRAINTS"))

    def tactic_sources(self) -> int | None:
        """Returns TensorRT's own kernels; cuBLAS and cuDNN, which 8.6 would use, tie a plan to their versions too."""
        known = getattr(getattr(self.module, "TacticSource", None), "__members__", {})
        if self.ahead_of_time or not known:
            return None
        return sum(1 << int(member) for name, member in known.items() if name not in _EXTERNAL_TACTICS)

    def target(self, config: Any, capabilities: Sequence[str]) -> None:
        """Tells TensorRT for RTX which SM versions to compile for.

        Raises:
            BackendError: It does not know one of them.
        """
        known = self.module.ComputeCapability
        config.num_compute_capabilities = len(capabilities)
        for index, capability in enumerate(capabilities):
            self._require_known(capability)
            member = getattr(known, "SM" + capability.replace(".", ""))
            if not config.set_compute_capability(member, index):
                raise BackendError(f"{self.name} does not take SM {capability} together with the others; drop it")

    def _require_known(self, capability: str) -> None:
        known = sm_versions(self.module)
        if capability not in known:
            raise BackendError(
                f"{self.name} does not support SM {capability}; pass --sm some of {' '.join(known)}, or build for that "
                "GPU with --backend tensorrt on its machine"
            )

    def node_of(self, error: Any, nodes: Sequence[str]) -> str:
        """Returns the name of the ONNX node that a parser error is about; 8.6 tells only its index."""
        if hasattr(error, "node_name"):
            return str(error.node_name()) or "?"
        return nodes[error.node()] if 0 <= error.node() < len(nodes) else "?"


def api_from_module(module: Any) -> TensorRTApi:
    """Looks at an imported TensorRT package.

    Raises:
        BackendError: It is older than 8.6, the first with optimization levels and compatible plans.
    """
    ahead_of_time = hasattr(module, "ComputeCapability")
    name = f"TensorRT {'for RTX ' if ahead_of_time else ''}{module.__version__}"
    if not hasattr(module.IBuilderConfig, "builder_optimization_level"):
        raise BackendError(
            f"{name} is too old: expected 8.6 or later; install the one of the device's JetPack or driver"
        )
    typed = "STRONGLY_TYPED" in getattr(module.NetworkDefinitionCreationFlag, "__members__", {})
    return TensorRTApi(
        module=module,
        name=name,
        strongly_typed=typed or not hasattr(module.BuilderFlag, "FP16"),
        ahead_of_time=ahead_of_time,
        reports_progress=hasattr(module, "IProgressMonitor"),
    )


def sm_versions(module: object) -> tuple[str, ...]:
    """Returns the SM versions, such as `8.6`, that a TensorRT for RTX has a name for, the oldest first."""
    names = [name[2:] for name in dir(getattr(module, "ComputeCapability", None)) if name.startswith("SM")]
    known = sorted((int(name[:-1]), int(name[-1])) for name in names if name.isdigit() and len(name) > 1)
    return tuple(f"{major}.{minor}" for major, minor in known)
