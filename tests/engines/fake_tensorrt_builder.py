"""Python modules that look like classic TensorRT 8.6, 10 and 11 to a builder, and record what is asked of them.

Members and bits are those of the releases; what a release lacks raises AttributeError here too. Networks are made from
the ONNX file that is parsed: one layer per node, a second one for the bias of a Gemm, constants for initializers.
"""

from __future__ import annotations

import enum
import json
from dataclasses import dataclass, field
from types import ModuleType
from typing import TYPE_CHECKING, Any

import onnx
from onnx import TensorProto

if TYPE_CHECKING:
    from collections.abc import Callable

_BUILDER_FLAGS = {
    "8.6.0": {
        "FP16": 0, "INT8": 1, "DEBUG": 2, "GPU_FALLBACK": 3, "STRICT_TYPES": 4, "REFIT": 5, "DISABLE_TIMING_CACHE": 6,
        "TF32": 7, "SPARSE_WEIGHTS": 8, "SAFETY_SCOPE": 9, "OBEY_PRECISION_CONSTRAINTS": 10,
        "PREFER_PRECISION_CONSTRAINTS": 11, "DIRECT_IO": 12, "VERSION_COMPATIBLE": 15, "EXCLUDE_LEAN_RUNTIME": 16,
    },
    "10.0.1": {
        "FP16": 0, "INT8": 1, "DEBUG": 2, "REFIT": 4, "DISABLE_TIMING_CACHE": 5, "TF32": 6, "SPARSE_WEIGHTS": 7,
        "OBEY_PRECISION_CONSTRAINTS": 9, "VERSION_COMPATIBLE": 13, "EXCLUDE_LEAN_RUNTIME": 14, "BF16": 17,
    },
    "11.1.0": {
        "DEBUG": 2, "REFIT": 4, "DISABLE_TIMING_CACHE": 5, "TF32": 6, "SPARSE_WEIGHTS": 7, "VERSION_COMPATIBLE": 12,
        "EXCLUDE_LEAN_RUNTIME": 13, "STRIP_PLAN": 18,
    },
}  # fmt: skip
_NETWORK_FLAGS = {
    "8.6.0": {"EXPLICIT_BATCH": 0, "EXPLICIT_PRECISION": 1},
    "10.0.1": {"EXPLICIT_BATCH": 0, "STRONGLY_TYPED": 1},
    "11.1.0": {"STRONGLY_TYPED": 0, "PREFER_JIT_PYTHON_PLUGINS": 1, "PREFER_AOT_PYTHON_PLUGINS": 2},
}
_TACTICS = {
    "8.6.0": ("CUBLAS", "CUBLAS_LT", "CUDNN", "EDGE_MASK_CONVOLUTIONS", "JIT_CONVOLUTIONS"),
    "10.0.1": ("CUBLAS", "CUBLAS_LT", "CUDNN", "EDGE_MASK_CONVOLUTIONS", "JIT_CONVOLUTIONS"),
    "11.1.0": ("EDGE_MASK_CONVOLUTIONS", "JIT_CONVOLUTIONS"),
}
VERSIONS = tuple(_NETWORK_FLAGS)
INSPECTED = {
    "Layers": [
        {
            "Name": "conv_stem",
            "LayerType": "CaskConvolution",
            "Inputs": [{"Name": "image", "Format/Datatype": "Row major linear FP16 format"}],
            "Outputs": [{"Name": "x", "Format/Datatype": "Row major linear FP16 format"}],
        }
    ],
    "Bindings": ["image", "logit"],
}


@dataclass
class Record:
    """What was asked of a fake TensorRT, and how it is to behave.

    Attributes:
        answer: What build_serialized_network does in place of returning a plan.
        inspected: What the engine inspector answers.
        loadable: Whether a plan can be deserialized.
        refused: The operator that the parser does not know.
    """

    network_flags: int | None = None
    flags: set[str] = field(default_factory=set)
    settings: dict[str, Any] = field(default_factory=dict)
    shapes: dict[str, tuple[tuple[int, ...], ...]] = field(default_factory=dict)
    inspected_shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    layers: list[Any] = field(default_factory=list)
    cache: Any = None
    answer: Callable[[Any], bytes | None] | None = None
    inspected: str = json.dumps(INSPECTED)
    loadable: bool = True
    refused: str = ""


def fake_tensorrt(version: str, device: str = "GPU A") -> ModuleType:  # noqa: C901  # classes share their module
    """Returns a module; `module.record` says what happened. Timing caches of another `device` are refused."""
    module: Any = ModuleType("tensorrt")
    module.__version__ = version
    module.record = record = Record()
    weak, monitored = version.startswith("8"), not version.startswith("8")
    module.NetworkDefinitionCreationFlag = _enum("NetworkDefinitionCreationFlag", _NETWORK_FLAGS[version])
    module.BuilderFlag = _enum("BuilderFlag", _BUILDER_FLAGS[version])
    module.TacticSource = _enum("TacticSource", {name: bit for bit, name in enumerate(_TACTICS[version])})
    for name, members in {
        "MemoryPoolType": ("WORKSPACE",),
        "ProfilingVerbosity": ("LAYER_NAMES_ONLY", "NONE", "DETAILED"),
        "HardwareCompatibilityLevel": ("NONE", "AMPERE_PLUS"),
        "LayerInformationFormat": ("ONELINE", "JSON"),
        "TensorIOMode": ("NONE", "INPUT", "OUTPUT"),
        "DataType": ("FLOAT", "HALF", "INT8", "INT32", "BOOL", "UINT8", "INT64"),
        "LayerType": (
            "CONVOLUTION", "ACTIVATION", "ELEMENTWISE", "MATRIX_MULTIPLY", "CONSTANT", "SHAPE", "QUANTIZE", "REDUCE",
            "DEQUANTIZE", "CAST", "SHUFFLE", "OTHER",
        ),
    }.items():  # fmt: skip
        setattr(module, name, _enum(name, {member: value for value, member in enumerate(members)}))

    class ILogger:
        Severity = _enum("Severity", {"INTERNAL_ERROR": 0, "ERROR": 1, "WARNING": 2, "INFO": 3, "VERBOSE": 4})

        def __init__(self) -> None:
            self.begun = True

    class IProgressMonitor:
        def __init__(self) -> None:
            self.begun = True

    class TimingCache:
        def __init__(self, serialized: bytes) -> None:
            text = serialized.decode() if serialized else device
            self.device, *times = text.split("|")
            self.times = set(times)

        def combine(self, other: TimingCache, ignore_mismatch: bool) -> bool:
            self.times |= other.times
            return True

        def serialize(self) -> bytes:
            return "|".join([self.device, *sorted(self.times)]).encode()

    class IBuilderConfig:
        __slots__ = ("_profiles", "builder_optimization_level", "hardware_compatibility_level", "profiling_verbosity")
        if monitored:
            __slots__ = (*__slots__, "progress_monitor")

        def __init__(self) -> None:
            record.flags = {"TF32"}

        def set_memory_pool_limit(self, pool: Any, size: int) -> None:
            assert pool is module.MemoryPoolType.WORKSPACE
            record.settings["workspace"] = size

        def set_flag(self, flag: Any) -> None:
            assert isinstance(flag, module.BuilderFlag), f"{flag!r} would be a TypeError"
            record.flags.add(flag.name)

        def clear_flag(self, flag: Any) -> None:
            assert isinstance(flag, module.BuilderFlag), f"{flag!r} would be a TypeError"
            record.flags.discard(flag.name)

        def set_tactic_sources(self, sources: int) -> bool:
            record.settings["tactics"] = {member.name for member in module.TacticSource if sources >> int(member) & 1}
            return True

        def add_optimization_profile(self, profile: Any) -> int:
            return 0

        def create_timing_cache(self, serialized: bytes) -> TimingCache | None:
            assert isinstance(serialized, bytes)
            return TimingCache(serialized)

        def set_timing_cache(self, cache: TimingCache, ignore_mismatch: bool) -> bool:
            assert not ignore_mismatch
            if cache.device != device:
                return False
            record.cache = cache
            return True

        def get_timing_cache(self) -> TimingCache:
            return record.cache

    class Builder:
        def __init__(self, log: Any) -> None:
            assert log.begun
            self.log = log

        def create_network(self, flags: int) -> Network:
            record.network_flags = flags
            return Network()

        def create_builder_config(self) -> IBuilderConfig:
            return IBuilderConfig()

        def create_optimization_profile(self) -> Profile:
            return Profile()

        def build_serialized_network(self, network: Network, config: IBuilderConfig) -> bytes | None:
            for name in ("builder_optimization_level", "hardware_compatibility_level", "profiling_verbosity"):
                if hasattr(config, name):
                    record.settings[name] = getattr(config, name)
            if record.cache is not None:
                record.cache.times.add("measured now")
            if record.answer is not None:
                return record.answer(config)
            return b"ftrt plan"

    class Profile:
        def set_shape(self, name: str, smallest: Any, typical: Any, largest: Any) -> None:
            record.shapes[name] = (smallest, typical, largest)

    class Network:
        def __init__(self) -> None:
            self.inputs: list[Tensor] = []

        @property
        def num_layers(self) -> int:
            return len(record.layers)

        def get_layer(self, index: int) -> Layer:
            return record.layers[index]

        @property
        def num_inputs(self) -> int:
            return len(self.inputs)

        def get_input(self, index: int) -> Tensor:
            return self.inputs[index]

    class OnnxParser:
        def __init__(self, network: Network, log: Any) -> None:
            self.network = network
            self.errors: list[Any] = []

        @property
        def num_errors(self) -> int:
            return len(self.errors)

        def get_error(self, index: int) -> Any:
            return self.errors[index]

        def parse(self, serialized: bytes) -> bool:
            model = onnx.load_from_string(serialized)
            for index, node in enumerate(model.graph.node):
                if node.op_type == record.refused:
                    self.errors.append((IndexedError if weak else NamedError)(index, node))
            self.network.inputs, record.layers = _parsed(module, model, Layer, Tensor)
            return not self.errors

    class IndexedError:
        def __init__(self, index: int, node: onnx.NodeProto) -> None:
            self._index, self._node = index, node

        def node(self) -> int:
            return self._index

        def desc(self) -> str:
            return f"No importer registered for op: {self._node.op_type}"

    class NamedError(IndexedError):
        def node_name(self) -> str:
            return self._node.name

    class Tensor:
        def __init__(self, name: str, shape: tuple[int, ...], dtype: Any, is_network_output: bool = False) -> None:
            self.name, self.shape, self.dtype, self.is_network_output = name, shape, dtype, is_network_output

    class Layer:
        def __init__(self, name: str, kind: Any, outputs: list[Tensor]) -> None:
            self.name, self.type, self._outputs = name, kind, outputs
            self.bound: Any = None
            self.bound_outputs: dict[int, Any] = {}

        @property
        def num_outputs(self) -> int:
            return len(self._outputs)

        def get_output(self, index: int) -> Tensor:
            return self._outputs[index]

        if weak:

            @property
            def precision(self) -> Any:
                return self.bound

            @precision.setter
            def precision(self, value: Any) -> None:
                assert isinstance(value, module.DataType)
                self.bound = value

            def set_output_type(self, index: int, dtype: Any) -> None:
                self.bound_outputs[index] = dtype

    class Runtime:
        def __init__(self, log: Any) -> None:
            self.log = log

        def deserialize_cuda_engine(self, plan: bytes) -> Engine | None:
            return Engine() if record.loadable else None

    class Engine:
        num_io_tensors = 2

        def get_tensor_name(self, index: int) -> str:
            return ("image", "logit")[index]

        def get_tensor_mode(self, name: str) -> Any:
            return module.TensorIOMode.INPUT if name == "image" else module.TensorIOMode.OUTPUT

        def get_tensor_profile_shape(self, name: str, profile: int) -> list[tuple[int, ...]]:
            assert name == "image", "outputs have none"
            return list(record.shapes[name])

        def create_execution_context(self) -> Any:
            return Context()

        def create_engine_inspector(self) -> Any:
            return Inspector()

    class Context:
        def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
            record.inspected_shapes[name] = shape
            return True

    class Inspector:
        execution_context: Any = None

        def get_engine_information(self, form: Any) -> str:
            assert self.execution_context is not None
            assert form is module.LayerInformationFormat.JSON
            return record.inspected

    for made in (ILogger, IBuilderConfig, Builder, OnnxParser, Runtime):
        setattr(module, made.__name__, made)
    if monitored:
        module.IProgressMonitor = IProgressMonitor
    return module


def _enum(name: str, members: dict[str, int]) -> Any:
    """pybind11 enumerations have `__members__` and turn into int, but are no int."""
    made: Any = enum.Enum(name, members)
    made.__int__ = lambda member: member.value
    return made


def _parsed(module: Any, model: onnx.ModelProto, layer: Any, tensor: Any) -> tuple[list[Any], list[Any]]:
    types = {
        TensorProto.FLOAT: module.DataType.FLOAT,
        TensorProto.FLOAT16: module.DataType.HALF,
        TensorProto.INT64: module.DataType.INT32,
        TensorProto.INT8: module.DataType.INT8,
    }
    kinds = {
        "Conv": "CONVOLUTION", "Sigmoid": "ACTIVATION", "Mul": "ELEMENTWISE", "Add": "ELEMENTWISE", "Cast": "CAST",
        "Gemm": "MATRIX_MULTIPLY", "QuantizeLinear": "QUANTIZE", "DequantizeLinear": "DEQUANTIZE", "Shape": "SHAPE",
        "ReduceMean": "REDUCE",
    }  # fmt: skip
    inferred = onnx.shape_inference.infer_shapes(model)
    known = {value.name: value.type.tensor_type for value in [*inferred.graph.value_info, *inferred.graph.output]}
    returned = {value.name for value in model.graph.output}
    layers = [
        layer(item.name, module.LayerType.CONSTANT, [tensor(item.name, tuple(item.dims), types[item.data_type])])
        for item in model.graph.initializer
    ]
    for node in model.graph.node:
        outputs = [tensor(name, (), types[known[name].elem_type], name in returned) for name in node.output]
        kind = getattr(module.LayerType, kinds.get(node.op_type, "OTHER"))
        layers.append(layer(node.name, kind, outputs))
        if node.op_type == "Gemm":
            layers.append(layer(f"{node.name}_{len(layers)}", module.LayerType.ELEMENTWISE, outputs))
    inputs = []
    for value in model.graph.input:
        dimensions = value.type.tensor_type.shape.dim
        shape = tuple(-1 if d.dim_param else d.dim_value for d in dimensions)
        inputs.append(tensor(value.name, shape, types[value.type.tensor_type.elem_type]))
    return inputs, layers
