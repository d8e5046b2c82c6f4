"""Runs under CPython 3.10 with the real TensorRT 8.6.0: what our adapter makes of it, as JSON on standard output."""

from __future__ import annotations

import json
import sys

from engines.backend import BuildOptions
from engines.tensorrt_api import api_from_module
from engines.tensorrt_build import PlanBuild
from engines.tensorrt_module import message_log, tensorrt_module
from export.errors import BackendError


def refusal(options: BuildOptions) -> str:
    """Returns what the adapter says about options; empty if it takes them."""
    try:
        api.require(options)
    except BackendError as error:
        return str(error)
    return ""


trt = tensorrt_module("tensorrt")
api = api_from_module(trt)
try:
    PlanBuild(api, "tensorrt", message_log("tensorrt"), BuildOptions()).created_builder()
    builder = "created"
except BackendError as error:
    builder = str(error)
tactics = api.tactic_sources() or 0
found = {
    "name": api.name,
    "kind": [api.strongly_typed, api.ahead_of_time, api.reports_progress],
    "network_flags": api.network_flags(),
    "explicit_batch": 1 << int(trt.NetworkDefinitionCreationFlag.EXPLICIT_BATCH),
    "typing_flags": {
        name: [int(flag) for flag in api.typing_flags(precisions)]
        for name, precisions in {"FP32": ["FP32"], "FP16": ["FP32", "FP16"], "INT8": ["INT8", "FP16"]}.items()
    },
    "flags": {
        name: int(getattr(trt.BuilderFlag, name)) for name in ("FP16", "INT8", "OBEY_PRECISION_CONSTRAINTS", "TF32")
    },
    "tactics": [name for name, member in trt.TacticSource.__members__.items() if tactics >> int(member) & 1],
    "left_alone": [hasattr(trt.LayerType, name) for name in ("CONSTANT", "SHAPE", "QUANTIZE", "DEQUANTIZE", "CAST")],
    "asked_of_configurations": [
        hasattr(trt.IBuilderConfig, name)
        for name in (
            "set_memory_pool_limit",
            "profiling_verbosity",
            "clear_flag",
            "set_tactic_sources",
            "builder_optimization_level",
            "hardware_compatibility_level",
            "add_optimization_profile",
            "create_timing_cache",
            "set_timing_cache",
            "get_timing_cache",
        )
    ],
    "asked_of_engines": [
        hasattr(trt.ICudaEngine, name)
        for name in (
            "num_io_tensors",
            "get_tensor_name",
            "get_tensor_mode",
            "get_tensor_profile_shape",
            "create_execution_context",
            "create_engine_inspector",
        )
    ],
    "asked_of_others": [
        hasattr(trt.IExecutionContext, "set_input_shape"),
        hasattr(trt.EngineInspector, "execution_context"),
        hasattr(trt.EngineInspector, "get_engine_information"),
        hasattr(trt.ITimingCache, "combine"),
        hasattr(trt.ITimingCache, "serialize"),
        hasattr(trt.ITensor, "is_network_output"),
        hasattr(trt.ILayer, "precision"),
        hasattr(trt.ILayer, "set_output_type"),
        hasattr(trt.ParserError, "node"),
    ],
    "parser_errors_name_nodes": hasattr(trt.ParserError, "node_name"),
    "refusals": {
        "--sm": refusal(BuildOptions(compute_capabilities=("8.9",))),
        "--version-compatible": refusal(BuildOptions(version_compatible=True)),
        "--hardware-compatible": refusal(BuildOptions(hardware_compatible=True)),
    },
    "builder": builder,
    "heavy": sorted({"torch", "onnx", "numpy"} & set(sys.modules)),
}
print(json.dumps(found))  # noqa: T201  # the answer
