"""A deserialized TensorRT plan and what it is fed, the same for TensorRT 8.6 to 11 and for RTX."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from engines.tensorrt_module import message_log, tensorrt_module
from export.contract import INPUT_NAME, OUTPUT_NAME
from export.errors import BackendError

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

    from export.contract import InputForm
    from export.sidecar import Artifact

# Host code in plans stays disallowed (TensorRT's default), also where a plan's digest is right: such code would run in
# this process with all its rights, before any check of ours could see what it does.
_HOST_CODE = (
    "; a version-compatible plan brings a runtime of its own as host code, which is not run here: build it again "
    "without --version-compatible, or run it in an application that sets engine_host_code_allowed"
)


@dataclass(frozen=True)
class EngineInput:
    """What an engine is fed.

    Attributes:
        form: Normalized float32 (N, 3, size, size) or uint8 pixels (N, size, size, 3).
        size: Height and width, in pixels.
        smallest_batch: Least images per inference.
        largest_batch: Most images per inference.
    """

    form: InputForm
    size: int
    smallest_batch: int
    largest_batch: int

    @property
    def dtype(self) -> DTypeLike:
        """Type of one value."""
        return np.float32 if self.form == "float32" else np.uint8

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Shape of one image."""
        return (3, self.size, self.size) if self.form == "float32" else (self.size, self.size, 3)

    @property
    def image_bytes(self) -> int:
        """Bytes of one image."""
        return math.prod(self.image_shape) * np.dtype(self.dtype).itemsize


class CudaEngine:
    """A deserialized plan; owns TensorRT's runtime and engine until it is closed.

    Args:
        package: `tensorrt` or `tensorrt_rtx`.
        artifact: The plan's file with its sidecar, for messages and to check what the plan says.
        plan: Bytes of the plan, of the digest that the sidecar names.

    Attributes:
        trt: The package's module.
        name: Name of the plan's file.
        handle: TensorRT's ICudaEngine.
        input: What it is fed.

    Raises:
        BackendError: TensorRT does not take the plan, or it is no engine of this toolkit.
    """

    def __init__(self, package: str, artifact: Artifact, plan: bytes) -> None:
        self.trt: Any = tensorrt_module(package)
        self.name = artifact.path.name
        self._log = message_log(package)
        self._runtime: Any = None
        self.handle: Any = None
        self.forget_messages()
        try:
            self._runtime = self.trt.Runtime(self._log)
            self.handle = self._runtime.deserialize_cuda_engine(plan)
            if self.handle is None:
                what = f"{package} {self.trt.__version__} does not deserialize {self.name}"
                raise self.refusal(what, self._remedy(artifact, plan))
            self.input = _input_from_engine(self, artifact)
        except TypeError as error:  # what pybind11 raises for a null pointer
            self.close()
            raise self.refusal(f"{package} makes no runtime ({error})") from None
        except BackendError:
            self.close()
            raise

    def close(self) -> None:
        """Frees the engine, then the runtime; its contexts must be gone."""
        self.handle = None
        self._runtime = None

    def forget_messages(self) -> None:
        """Drops what TensorRT said so far, so that a refusal quotes only what belongs to it."""
        self._log.errors.clear()

    def out_of_memory(self) -> bool:
        """Tells whether TensorRT's latest errors speak of memory that the GPU does not have."""
        words = " ".join(self._log.errors).lower()
        return "out of memory" in words or "outofmemory" in words or "cudaerrormemoryallocation" in words

    def refusal(self, what: str, remedy: str = "") -> BackendError:
        """Returns an error that quotes TensorRT."""
        details = "; ".join(" ".join(message.split())[:300] for message in self._log.errors[:3])
        return BackendError(f"{what}: {details or 'it gave no reason'}{remedy}")

    def _remedy(self, artifact: Artifact, plan: bytes) -> str:
        if self.out_of_memory():
            return "; end what else uses the GPU"
        if artifact.facts.get("version_compatible"):
            return _HOST_CODE
        if not hasattr(self._runtime, "get_engine_validity"):  # only TensorRT for RTX tells why
            return "; build it again on this machine with build-engines"
        from engines.preflight import engine_validity_words

        _, reasons = self._runtime.get_engine_validity(plan)
        return f"; {engine_validity_words(int(reasons))}"

    @property
    def context_bytes(self) -> int:
        """Scratch memory of one execution context at the largest batch."""
        name = "device_memory_size_v2" if hasattr(self.handle, "device_memory_size_v2") else "device_memory_size"
        return int(getattr(self.handle, name))


def _input_from_engine(engine: CudaEngine, artifact: Artifact) -> EngineInput:
    # No local variable holds the handle: an error's traceback would keep it alive beyond the CUDA context.
    modes, types = engine.trt.TensorIOMode, engine.trt.DataType
    names = [engine.handle.get_tensor_name(index) for index in range(engine.handle.num_io_tensors)]
    inputs = [name for name in names if engine.handle.get_tensor_mode(name) == modes.INPUT]
    outputs = [name for name in names if name not in inputs]
    if inputs != [INPUT_NAME] or outputs != [OUTPUT_NAME]:
        raise BackendError(
            f"{engine.name} takes {', '.join(inputs) or 'nothing'} and gives {', '.join(outputs) or 'nothing'}; "
            f"expected one input {INPUT_NAME} and one output {OUTPUT_NAME}; build it with build-engines"
        )
    values = math.prod(engine.handle.get_tensor_shape(OUTPUT_NAME)[1:])
    if values != 1 or engine.handle.get_tensor_dtype(OUTPUT_NAME) != types.FLOAT:
        raise BackendError(
            f"{engine.name} gives {OUTPUT_NAME} as {_described(engine, OUTPUT_NAME)}; expected FLOAT, one value per "
            "image; build it with build-engines"
        )
    form, size = _form_and_size(engine)
    recorded = artifact.facts.get("input")
    if recorded is not None and recorded != form:
        raise BackendError(
            f"{engine.name} takes {form} images, but its sidecar says {recorded}; build it again with build-engines"
        )
    smallest, _, largest = (int(shape[0]) for shape in engine.handle.get_tensor_profile_shape(INPUT_NAME, 0))
    return EngineInput(form, size, smallest, largest)


def _form_and_size(engine: CudaEngine) -> tuple[InputForm, int]:
    dtype, shape = engine.handle.get_tensor_dtype(INPUT_NAME), tuple(engine.handle.get_tensor_shape(INPUT_NAME))
    if len(shape) == 4 and dtype == engine.trt.DataType.FLOAT and shape[1] == 3 and shape[2] == shape[3] > 0:
        return "float32", int(shape[2])
    if len(shape) == 4 and dtype == engine.trt.DataType.UINT8 and shape[3] == 3 and shape[1] == shape[2] > 0:
        return "uint8", int(shape[1])
    raise BackendError(
        f"{engine.name} takes {INPUT_NAME} as {_described(engine, INPUT_NAME)}; expected FLOAT (N, 3, size, size) or "
        "UINT8 (N, size, size, 3); build it with build-engines"
    )


def _described(engine: CudaEngine, tensor: str) -> str:
    kind = str(engine.handle.get_tensor_dtype(tensor)).rpartition(".")[2]
    return f"{kind} {tuple(engine.handle.get_tensor_shape(tensor))}"
