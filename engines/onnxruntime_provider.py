"""ONNX Runtime's execution providers: what each is called, needs and is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from export.variant import Precision

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from engines.backend import BuildOptions

_MIB = 1 << 20


@dataclass(frozen=True)
class Provider:
    """One execution provider of ONNX Runtime.

    Attributes:
        name: What ONNX Runtime calls it.
        title: What a sentence calls it.
        simulations: Precision -> what its scores cannot vouch for.
    """

    name: str
    title: str
    simulations: Mapping[Precision, str]

    @property
    def is_gpu(self) -> bool:
        """Whether it computes on a GPU."""
        return self is not CPU

    def chain(self, gpu: int, options: Mapping[str, str]) -> list[tuple[str, dict[str, str]]]:
        """Returns what ONNX Runtime is asked for, best first; it adds the CPU by itself, for what remains.

        Args:
            gpu: Index of the GPU.
            options: Those that `provider_options` returned when the engine was built.
        """
        device = {"device_id": str(gpu)}
        # TF32 keeps 10 bits of the mantissa; what the graph calls FP32 is computed in FP32, as in a TensorRT plan.
        cuda = {**device, "use_tf32": "0"}
        if self is TENSORRT:
            return [(self.name, {**options, **device}), (CUDA.name, cuda)]
        return [(self.name, cuda if self.is_gpu else {})]

    def provider_options(self, options: BuildOptions, name: str, shape: Sequence[int | str]) -> dict[str, str]:
        """Returns what the provider has to know about an engine besides its graph; nothing for CPU and CUDA.

        Neither FP16 nor INT8 is enabled: without either, the provider builds a strongly typed network since ONNX
        Runtime 1.18 (microsoft/onnxruntime#19695), which obeys the graph's types with TensorRT 10 and 11 alike.

        Args:
            options: Batch range, scratch memory and optimization level.
            name: Name of the input.
            shape: Shape of the input; the batch, its first entry, does not count.
        """
        if self is not TENSORRT:
            return {}
        batches = {"min": options.batch_min, "opt": options.batch_opt, "max": options.batch_max}
        shapes = {bound: "x".join(map(str, (size, *shape[1:]))) for bound, size in batches.items()}
        return {
            **{f"trt_profile_{bound}_shapes": f"{name}:{text}" for bound, text in shapes.items()},
            "trt_max_workspace_size": str(options.workspace_mib * _MIB),
            "trt_sparsity_enable": str(options.sparse_weights),
            # A plan that an earlier session left on the disk has no sidecar that says what it was made from.
            "trt_engine_cache_enable": "False",
            "trt_timing_cache_enable": "False",
            **(
                {}
                if options.optimization_level is None
                else {"trt_builder_optimization_level": str(options.optimization_level)}
            ),
        }


CPU = Provider(
    name="CPUExecutionProvider",
    title="ONNX Runtime on the CPU",
    simulations={
        Precision.FP16: "ONNX Runtime on the CPU rounds weights to FP16 but computes in FP32",
        Precision.INT8_WEIGHTS: "ONNX Runtime on the CPU rounds weights to INT8 but computes in FP32",
        Precision.INT8: "ONNX Runtime on the CPU rounds to INT8 where the graph says so but computes in FP32",
    },
)
CUDA = Provider(
    name="CUDAExecutionProvider",
    title="ONNX Runtime's CUDA provider",
    simulations={
        Precision.INT8_WEIGHTS: "ONNX Runtime's CUDA provider rounds weights to INT8 but stores them unpacked",
        Precision.INT8: "ONNX Runtime's CUDA provider rounds to INT8 where the graph says so but computes in floating "
        "point",
    },
)
TENSORRT = Provider(
    name="TensorrtExecutionProvider",
    title="ONNX Runtime's TensorRT provider",
    simulations={},
)
