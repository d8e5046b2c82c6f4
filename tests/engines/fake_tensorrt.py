"""A TensorRT whose engines are linear functions, computed on `HostCuda`; in the dialects of 8.6, 10.0, 10 and RTX.

Only what differs between releases and what a runner can do wrong is modelled: names, dtypes and shapes, profiles,
scratch memory, capture, and the lifetimes of runtime, engine and contexts.
"""

from __future__ import annotations

import enum
import json
import math
from collections import Counter
from contextlib import suppress
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from engines.cuda import CudaError, DeviceLostError, DeviceMemoryError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from tests.engines.host_cuda import HostCuda

COMPUTE_MS_PER_IMAGE = 1.0
SCRATCH_BYTES_PER_IMAGE = 4096
KERNELS = b"compiled kernels"


def plan_bytes(package: str, **description: Any) -> bytes:
    """Returns a plan; see `_DESCRIPTION` for what it may say."""
    magic = b"vtrt" if package == "tensorrt_rtx" else b"ftrt"
    return magic + json.dumps({**_DESCRIPTION, **description}).encode()


_DESCRIPTION: dict[str, Any] = {
    "form": "float32",
    "size": 4,
    "batch": [1, 4, 8],
    "seed": 0,
    "host_code": False,
    "input": "image",
    "output": "logit",
    "output_dtype": "FLOAT",
    "padding": "x" * 64,
}


def image_shape(description: dict[str, Any]) -> tuple[int, int, int]:
    size = description["size"]
    return (3, size, size) if description["form"] == "float32" else (size, size, 3)


def expected_logits(plan: bytes, images: NDArray[Any]) -> NDArray[np.float32]:
    """Computes what an engine gives, one image at a time."""
    description = json.loads(plan[4:])
    weights = _weights(description)
    return np.array([weights @ image.astype(np.float64).ravel() for image in images], np.float32).reshape(-1)


def _weights(description: dict[str, Any]) -> NDArray[np.float64]:
    return np.random.default_rng(description["seed"]).normal(size=math.prod(image_shape(description)))


class Severity(enum.Enum):
    INTERNAL_ERROR = 0
    ERROR = 1
    WARNING = 2
    INFO = 3
    VERBOSE = 4


class ILogger:
    Severity = Severity

    def __init__(self) -> None:
        pass


class DataType(enum.Enum):
    FLOAT = 0
    HALF = 1
    UINT8 = 5


class TensorIOMode(enum.Enum):
    NONE = 0
    INPUT = 1
    OUTPUT = 2


class ExecutionContextAllocationStrategy(enum.Enum):
    STATIC = 0
    ON_PROFILE_CHANGE = 1
    USER_MANAGED = 2


class CudaGraphStrategy(enum.Enum):
    DISABLED = 0
    WHOLE_GRAPH_CAPTURE = 1


class DynamicShapesKernelSpecializationStrategy(enum.Enum):
    LAZY = 0
    EAGER = 1
    NONE = 2


class FakeTensorRT(ModuleType):
    """The module; `release` is `8.6`, `10.0`, `10` or `rtx`.

    Attributes:
        cuda: The device that engines compute on; every test sets its own.
        alive: Objects of each class that exist.
        deserialized: How many plans were deserialized.
        captures: How often RTX captured a graph of its own.
        compiled: How often RTX compiled for a shape.
    """

    ILogger = ILogger
    DataType = DataType
    TensorIOMode = TensorIOMode

    def __init__(self, release: str, cuda: HostCuda) -> None:
        self.package = "tensorrt_rtx" if release == "rtx" else "tensorrt"
        super().__init__(self.package)
        self.__version__ = {"8.6": "8.6.0", "10.0": "10.0.1", "10": "10.13.3.9", "rtx": "1.7.1.116"}[release]
        self.cuda = cuda
        self.alive: Counter[str] = Counter()
        self.deserialized = self.captures = self.compiled = 0
        self._engine = {"8.6": Engine86, "10.0": Engine100, "10": Engine, "rtx": EngineRtx}[release]
        if release != "8.6":
            self.ExecutionContextAllocationStrategy = ExecutionContextAllocationStrategy
        if release == "rtx":
            self.CudaGraphStrategy = CudaGraphStrategy
            self.DynamicShapesKernelSpecializationStrategy = DynamicShapesKernelSpecializationStrategy

    def Runtime(self, logger: Any) -> Runtime:  # noqa: N802  # TensorRT's name
        return Runtime(self, logger)


class Owned:
    """Counts itself, and objects when it goes after what it needs."""

    def __init__(self, trt: FakeTensorRT) -> None:
        self._trt = trt
        trt.alive[type(self).__name__] += 1

    def __del__(self) -> None:
        self._trt.alive[type(self).__name__] -= 1
        if not self._trt.cuda.open:
            self._trt.cuda.broken.append(f"{type(self).__name__} goes after its CUDA context")


class Runtime(Owned):
    def __init__(self, trt: FakeTensorRT, logger: Any) -> None:
        super().__init__(trt)
        self._logger = logger
        self.engine_host_code_allowed = False

    def deserialize_cuda_engine(self, plan: bytes) -> Engine | None:
        self._trt.deserialized += 1
        magic = b"vtrt" if self._trt.package == "tensorrt_rtx" else b"ftrt"
        try:
            description = json.loads(plan[4:]) if plan[:4] == magic else None
        except ValueError:
            description = None
        if description is None:
            self._logger.log(Severity.ERROR, "Serialization assertion\n failed: plan is corrupt")
            return None
        if len(plan) > self._trt.cuda.free_bytes():
            self._logger.log(Severity.ERROR, "Error Code 2: OutOfMemory (Requested size was 1 bytes.)")
            return None
        if description["host_code"] and not self.engine_host_code_allowed:
            self._logger.log(Severity.ERROR, "plan contains host code, which is not allowed")
            return None
        return self._trt._engine(self._trt, self, self._logger, description)

    def __del__(self) -> None:
        super().__del__()
        if self._trt.alive[self._trt._engine.__name__]:
            self._trt.cuda.broken.append("the runtime goes before its engine")


class Engine(Owned):
    num_io_tensors = 2

    @property
    def context_class(self) -> type[Context]:
        return Context

    def __init__(self, trt: FakeTensorRT, runtime: Runtime, logger: Any, description: dict[str, Any]) -> None:
        super().__init__(trt)
        self.description = description
        self.logger = logger
        self.weights = _weights(description)
        self.image_shape = image_shape(description)
        self.device_memory_size_v2 = description["batch"][2] * SCRATCH_BYTES_PER_IMAGE

    def __del__(self) -> None:
        super().__del__()
        if self._trt.alive["Context"] or self._trt.alive["Context100"]:
            self._trt.cuda.broken.append("the engine goes before its contexts")

    def get_tensor_name(self, index: int) -> str:
        return str((self.description["input"], self.description["output"])[index])

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        return TensorIOMode.INPUT if name == self.description["input"] else TensorIOMode.OUTPUT

    def get_tensor_dtype(self, name: str) -> DataType:
        if name == self.description["output"]:
            return DataType[self.description["output_dtype"]]
        return DataType.FLOAT if self.description["form"] == "float32" else DataType.UINT8

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return (-1, *self.image_shape) if name == self.description["input"] else (-1, 1)

    def get_tensor_profile_shape(self, name: str, profile_index: int) -> list[tuple[int, ...]]:
        assert name == self.description["input"]
        assert profile_index == 0
        return [(batch, *self.image_shape) for batch in self.description["batch"]]

    def create_execution_context(
        self, strategy: ExecutionContextAllocationStrategy = ExecutionContextAllocationStrategy.STATIC
    ) -> Context | None:
        return self._context(strategy is ExecutionContextAllocationStrategy.USER_MANAGED, CudaGraphStrategy.DISABLED)

    def _context(self, user_managed: bool, graphs: CudaGraphStrategy) -> Context | None:
        scratch = 0
        if not user_managed:
            try:
                scratch = self._trt.cuda.allocate(self.description["batch"][2] * SCRATCH_BYTES_PER_IMAGE)
            except CudaError as error:
                memory = isinstance(error, DeviceMemoryError)
                self.logger.log(Severity.ERROR, f"Cuda Runtime ({'out of memory' if memory else 'unknown error'})")
                return None
        return self.context_class(self._trt, self, scratch, graphs)


class Engine86(Engine):
    def __init__(self, trt: FakeTensorRT, runtime: Runtime, logger: Any, description: dict[str, Any]) -> None:
        super().__init__(trt, runtime, logger, description)
        self.device_memory_size = self.__dict__.pop("device_memory_size_v2")

    def create_execution_context(self) -> Context | None:  # type: ignore[override]
        return self._context(False, CudaGraphStrategy.DISABLED)


class Engine100(Engine):
    """Its contexts take scratch memory by an attribute that can be set only, without a size."""

    def __init__(self, trt: FakeTensorRT, runtime: Runtime, logger: Any, description: dict[str, Any]) -> None:
        super().__init__(trt, runtime, logger, description)
        self.device_memory_size = self.__dict__.pop("device_memory_size_v2")

    @property
    def context_class(self) -> type[Context]:
        return Context100


class RuntimeConfig(Owned):
    def __init__(self, trt: FakeTensorRT) -> None:
        super().__init__(trt)
        self.cuda_graph_strategy = CudaGraphStrategy.DISABLED
        self.dynamic_shapes_kernel_specialization_strategy = DynamicShapesKernelSpecializationStrategy.LAZY
        self.strategy = ExecutionContextAllocationStrategy.STATIC
        self.cache: RuntimeCache | None = None

    def set_execution_context_allocation_strategy(self, strategy: ExecutionContextAllocationStrategy) -> None:
        self.strategy = strategy

    def create_runtime_cache(self) -> RuntimeCache:
        return RuntimeCache(self._trt)

    def set_runtime_cache(self, cache: RuntimeCache) -> bool:
        self.cache = cache
        return True


class RuntimeCache(Owned):
    def __init__(self, trt: FakeTensorRT) -> None:
        super().__init__(trt)
        self.kernels: set[int] = set()

    def deserialize(self, blob: bytes) -> bool:
        assert self._trt.cuda.open, "a runtime cache is read with a CUDA context only"
        if not blob.startswith(KERNELS):
            return False
        self.kernels = set(json.loads(blob[len(KERNELS) :]))
        return True

    def serialize(self) -> bytes:
        return KERNELS + json.dumps(sorted(self.kernels)).encode()


class EngineRtx(Engine):
    def create_runtime_config(self) -> RuntimeConfig:
        return RuntimeConfig(self._trt)

    def create_execution_context(self, runtime_config: RuntimeConfig) -> Context | None:  # type: ignore[override]
        assert (
            runtime_config.dynamic_shapes_kernel_specialization_strategy
            is DynamicShapesKernelSpecializationStrategy.EAGER
        )
        user_managed = runtime_config.strategy is ExecutionContextAllocationStrategy.USER_MANAGED
        context = self._context(user_managed, runtime_config.cuda_graph_strategy)
        if context is not None:
            context.cache = runtime_config.cache
        return context


class Context(Owned):
    def __init__(self, trt: FakeTensorRT, engine: Engine, scratch: int, graphs: CudaGraphStrategy) -> None:
        super().__init__(trt)
        self._engine = engine
        self._own_scratch = self._scratch = scratch
        self._scratch_bytes = engine.description["batch"][2] * SCRATCH_BYTES_PER_IMAGE if scratch else 0
        self._graphs = graphs
        self._batch = 0
        self._addresses: dict[str, int] = {}
        self._settled = False
        self._shapes = [0]  # how often the shape changed; a list, because graphs outlive contexts
        self._captured: Any = None
        self.cache: RuntimeCache | None = None

    def __del__(self) -> None:
        if self._own_scratch and self._trt.cuda.open:
            with suppress(DeviceLostError, AssertionError):  # the device keeps broken rules
                self._trt.cuda.free(self._own_scratch)
        super().__del__()

    def set_optimization_profile_async(self, profile_index: int, stream_handle: int) -> bool:
        return profile_index == 0

    def set_input_shape(self, name: str, shape: Sequence[int]) -> bool:
        smallest, _, largest = self._engine.description["batch"]
        if tuple(shape[1:]) != self._engine.image_shape or not smallest <= shape[0] <= largest:
            self._engine.logger.log(Severity.ERROR, f"shape {tuple(shape)} is outside the profile")
            return False
        self._settled = self._settled and shape[0] == self._batch
        self._shapes[0] += shape[0] != self._batch
        self._batch = shape[0]
        if self.cache is not None and self._batch not in self.cache.kernels:
            self.cache.kernels.add(self._batch)
            self._trt.compiled += 1
        return True

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return (self._batch, 1) if name == "logit" else (self._batch, *self._engine.image_shape)

    def set_tensor_address(self, name: str, memory: int) -> bool:
        self._addresses[name] = memory
        return True

    def update_device_memory_size_for_shapes(self) -> int:
        return self._batch * SCRATCH_BYTES_PER_IMAGE

    def set_device_memory(self, memory: int, size: int) -> None:
        self._scratch, self._scratch_bytes = memory, size

    def execute_async_v3(self, stream_handle: int) -> bool:
        cuda, engine, batch = self._trt.cuda, self._engine, self._batch
        if cuda.capturing(stream_handle) and not self._settled:
            engine.logger.log(Severity.ERROR, "the shape was not settled by an enqueue before capture")
            return False
        needed = batch * SCRATCH_BYTES_PER_IMAGE
        if not batch or self._scratch_bytes < needed or set(self._addresses) != {"image", "logit"}:
            engine.logger.log(Severity.ERROR, "shape, address or scratch memory is missing")
            return False
        self._settled = True
        bound = (batch, *sorted(self._addresses.items()))
        if self._graphs is CudaGraphStrategy.WHOLE_GRAPH_CAPTURE and bound != self._captured:
            self._captured = bound
            self._trt.captures += 1
        dtype = np.float32 if engine.description["form"] == "float32" else np.uint8
        weights = engine.weights
        shapes, known = self._shapes, self._shapes[0]
        is_graph = cuda.capturing(stream_handle)

        def compute(image_bytes: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
            if is_graph and shapes[0] != known:
                cuda.broken.append("replays a graph of a context that has got another shape since")
            images = image_bytes.view(dtype).reshape(batch, -1)
            logits = np.array([weights @ image.astype(np.float64) for image in images], np.float32)
            return [logits.view(np.uint8), np.zeros(needed, np.uint8)]

        image_bytes = batch * math.prod(engine.image_shape) * np.dtype(dtype).itemsize
        writes = [(self._addresses["logit"], 4 * batch), (self._scratch, needed)]
        reads = [(self._addresses["image"], image_bytes)]
        try:
            cuda.kernel("network", stream_handle, reads, writes, compute, COMPUTE_MS_PER_IMAGE * batch)
        except DeviceLostError:
            engine.logger.log(Severity.ERROR, "Cuda Runtime (unspecified launch failure)")
            return False
        return True


class Context100(Context):
    @property  # type: ignore[misc]  # the release lacks the method
    def set_device_memory(self) -> None:
        raise AttributeError

    @property
    def device_memory(self) -> int:
        raise AttributeError

    @device_memory.setter
    def device_memory(self, memory: int) -> None:
        self._scratch, self._scratch_bytes = memory, self.update_device_memory_size_for_shapes()
