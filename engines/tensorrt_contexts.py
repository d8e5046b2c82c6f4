"""The execution contexts of a TensorRT engine, created as each release wants it and bound to a slot's memory."""

from __future__ import annotations

import math
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from engines.cuda import DeviceMemoryError
from export.contract import INPUT_NAME, OUTPUT_NAME

if TYPE_CHECKING:
    from engines.cuda import Cuda
    from engines.rtx_settings import RtxSettings
    from engines.tensorrt_engine import CudaEngine

_UNBOUND = (0, 0, 0)  # no batch has 0 images, and no memory lies at 0


class TensorRTContexts:
    """What `ExecutionSlots` runs; one context for all slots, or one per slot.

    TensorRT for RTX records its own CUDA graph anew whenever an address changes, so there every slot has a context
    whose addresses stay. All of them work on one stream, one after the other.

    Args:
        engine: The engine; it outlives the contexts.
        cuda: The device, likewise.
        stream: The stream of the computation.
        batch: Most images per inference.
        frugal: Whether the scratch memory is that of `batch` images instead of the engine's largest batch; TensorRT 8.6
            cannot tell it, so there this changes nothing.
        rtx: Settings of TensorRT for RTX; None for classic TensorRT.

    Raises:
        DeviceMemoryError: The scratch memory does not fit; nothing stays allocated.
        BackendError: TensorRT makes no context for another reason.
    """

    def __init__(
        self,
        engine: CudaEngine,
        cuda: Cuda,
        stream: int,
        batch: int,
        frugal: bool = False,
        rtx: RtxSettings | None = None,
    ) -> None:
        self._engine = engine
        self._cuda = cuda
        self._strategies: Any = getattr(engine.trt, "ExecutionContextAllocationStrategy", None)
        self._rtx = rtx
        self._frugal = frugal and self._strategies is not None
        self._scratch = (0, 0)
        self._contexts: list[Any] = []
        count = rtx.contexts if rtx else 1
        self._bound = [_UNBOUND] * count
        with ExitStack() as owned:
            owned.callback(self._free_scratch)
            owned.callback(self._contexts.clear)
            for index in range(count):
                self._contexts.append(self._created())
                self._expect(
                    self._contexts[index].set_optimization_profile_async(0, stream), "its optimization profile"
                )
            cuda.synchronize_stream(stream)
            if self._frugal:
                self._allocate_scratch(batch)
            self._owned = owned.pop_all()

    # No local variable below holds a context: an error's traceback would keep it alive beyond the CUDA context.

    def bind(self, slot: int, batch: int, device_input: int, device_output: int) -> None:
        """Sets shape and addresses where they changed.

        Raises:
            BackendError: TensorRT refuses them, or would write more than one logit per image.
        """
        index = slot % len(self._contexts)
        known_batch, known_input, known_output = self._bound[index]
        self._bound[index] = _UNBOUND
        if batch != known_batch:
            self._set_shape(index, batch)
            if self._frugal:
                self._place_scratch(index)
        if device_input != known_input:
            accepted = self._contexts[index].set_tensor_address(INPUT_NAME, device_input)
            self._expect(accepted, "the address of its input")
        if device_output != known_output:
            accepted = self._contexts[index].set_tensor_address(OUTPUT_NAME, device_output)
            self._expect(accepted, "the address of its output")
        self._bound[index] = (batch, device_input, device_output)

    def enqueue(self, slot: int, stream: int) -> None:
        """Enqueues the network; raises BackendError."""
        self._engine.forget_messages()
        self._expect(self._contexts[slot % len(self._contexts)].execute_async_v3(stream), "to run")

    def close(self) -> None:
        """Frees the contexts, then their scratch memory; nothing may be in flight."""
        self._owned.close()

    def _created(self) -> Any:
        engine = self._engine
        engine.forget_messages()
        if self._rtx is not None:
            strategy = self._strategies.USER_MANAGED if self._frugal else self._strategies.STATIC
            self._rtx.config.set_execution_context_allocation_strategy(strategy)
            context = engine.handle.create_execution_context(self._rtx.config)
        elif self._frugal:
            context = engine.handle.create_execution_context(self._strategies.USER_MANAGED)
        else:
            context = engine.handle.create_execution_context()
        if context is None:
            self._require_device()
            refusal = engine.refusal(f"{engine.name} gets no execution context")
            raise DeviceMemoryError(str(refusal)) if engine.out_of_memory() else refusal
        return context

    def _set_shape(self, index: int, batch: int) -> None:
        self._engine.forget_messages()
        shape = (batch, *self._engine.input.image_shape)
        self._expect(self._contexts[index].set_input_shape(INPUT_NAME, shape), f"input shape {shape}")
        output = tuple(self._contexts[index].get_tensor_shape(OUTPUT_NAME))
        self._expect(math.prod(output) == batch, f"batch {batch}, for which its output has the shape {output}")

    def _allocate_scratch(self, batch: int) -> None:
        """Allocates what the contexts, which never compute at the same time, share."""
        self._set_shape(0, batch)
        size = max(int(self._contexts[0].update_device_memory_size_for_shapes()), 1)
        self._scratch = (self._cuda.allocate(size), size)

    def _place_scratch(self, index: int) -> None:
        needed = int(self._contexts[index].update_device_memory_size_for_shapes())
        pointer, size = self._scratch
        self._expect(needed <= size, f"to run in {size} bytes of scratch memory, of which it needs {needed}")
        if hasattr(self._contexts[index], "set_device_memory"):
            self._contexts[index].set_device_memory(pointer, size)
        else:  # TensorRT 10.0
            self._contexts[index].device_memory = pointer

    def _free_scratch(self) -> None:
        pointer, _ = self._scratch
        if pointer:
            self._cuda.free(pointer)

    def _expect(self, accepted: bool, what: str) -> None:
        if not accepted:
            self._require_device()
            raise self._engine.refusal(f"{self._engine.name} refuses {what}")

    def _require_device(self) -> None:
        """Raises DeviceLostError if that is why TensorRT, which gives no error codes, refuses something."""
        self._cuda.free_bytes()
