"""The graph that a TensorRT parses: the exported one, or what this TensorRT needs in its place."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import onnx

    from engines.backend import BuildOptions
    from engines.tensorrt_api import TensorRTApi

_TURING = "7.5"
WITHOUT_GEMM = (
    "the classifier's Gemm as Mul and ReduceSum, because SM 7.5 has no FP32 matrix product in TensorRT for RTX"
)
COMMON_TURING = (
    "one program serves all SM versions that were asked for, and with 7.5 among them it may be slower on the others; "
    "build 7.5 on its own"
)


@dataclass(frozen=True)
class ParsableGraph:
    """What the parser gets.

    Attributes:
        source: The exported graph, whose types and weights the plan has.
        serialized: The graph to parse.
        nodes: Names of its nodes in order.
        precisions: `FP32`, `FP16` or `INT8` per node name, for a weakly typed TensorRT; empty for others.
        rewritten: What differs in its arithmetic from the exported graph; empty if nothing.
        warnings: What a user should know about it.
    """

    source: onnx.ModelProto
    serialized: bytes
    nodes: tuple[str, ...]
    precisions: Mapping[str, str] = field(default_factory=dict)
    rewritten: str = ""
    warnings: tuple[str, ...] = ()


def parsable_graph(api: TensorRTApi, path: Path, options: BuildOptions) -> ParsableGraph:
    """Reads an exported graph and makes of it what this TensorRT can parse."""
    import onnx

    source = onnx.load(path)
    model, rewritten = source, ""
    precisions: Mapping[str, str] = {}
    warnings: tuple[str, ...] = ()
    if api.ahead_of_time and _TURING in options.compute_capabilities:
        from engines.head_without_gemm import without_gemm

        model = without_gemm(source)
        rewritten = WITHOUT_GEMM if model != source else ""
        warnings = (COMMON_TURING,) if len(options.compute_capabilities) > 1 else ()
    if not api.strongly_typed:
        from engines.opset17 import weakly_typed_from_typed

        weak = weakly_typed_from_typed(model)
        model, precisions = weak.model, weak.precisions
    nodes = tuple(node.name for node in model.graph.node)
    return ParsableGraph(source, model.SerializeToString(), nodes, precisions, rewritten, warnings)
