"""A TensorRT plan that is ready to run: GPU, engine, contexts and buffers, opened and closed in the right order."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from engines.cuda import CudaError, DeviceMemoryError
from engines.execution_slots import DEPTH, ExecutionSlots, Streams
from engines.rtx_settings import RtxSettings
from engines.tensorrt_contexts import TensorRTContexts
from engines.tensorrt_engine import CudaEngine
from engines.tensorrt_module import tensorrt_module
from export.errors import BackendError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from engines.cuda import Cuda
    from engines.engine_runner import RunOptions
    from export.sidecar import Artifact

_MIB = 1 << 20


class TensorRTSession:
    """Opens everything in its constructor; `close` frees graphs, buffers, contexts, engine, runtime and last the GPU.

    Args:
        package: `tensorrt` or `tensorrt_rtx`.
        artifact: The plan with its sidecar.
        options: Batch size, CUDA graphs and GPU.
        open_device: Opens a GPU by its index.

    Attributes:
        cuda: The GPU.
        engine: The deserialized plan.
        slots: What runs it.
        rtx: Settings of TensorRT for RTX; None for classic TensorRT.
        busy: Whether an iterator uses the slots.
        notes: That the batch was halved, and what the runner adds; empty otherwise.
        load_ms: Reading, checking and deserializing the plan.
        prepare_ms: Making contexts and buffers.

    Raises:
        BackendError: A library or the GPU is missing, the plan cannot run here or is not what its sidecar says, or the
            batch size is outside the engine's; each message says what to do.
    """

    def __init__(
        self, package: str, artifact: Artifact, options: RunOptions, open_device: Callable[[int], Cuda]
    ) -> None:
        tensorrt_module(package)  # a missing package is told before the GPU is touched
        self._package = package
        self._artifact = artifact
        self._options = options
        self.busy = False
        self.notes: list[str] = []
        with ExitStack() as owned:
            self.cuda = owned.enter_context(open_device(options.gpu))
            self._load(owned)
            started = time.perf_counter()
            self._streams = Streams.of(self.cuda)
            self.rtx = self._settings(owned)
            owned.push(self._fitting(options.batch_size))
            self.prepare_ms = 1000 * (time.perf_counter() - started)
            self._owned = owned.pop_all()

    def close(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        """Frees everything, each even if one before it fails; never hides the error that ends the session."""
        try:
            self._owned.__exit__(kind, error, trace)
        except CudaError:
            if error is None:
                raise

    def held_bytes(self) -> int | None:
        """Returns by how much the GPU's free memory shrank since before the plan was loaded.

        None if it did not, because another process freed some meanwhile.
        """
        held = self._free_at_first - self.cuda.free_bytes()
        return held if held > 0 else None

    def _load(self, owned: ExitStack) -> None:
        from engines.preflight import require_runnable
        from engines.trusted import require_plan, trusted_bytes

        require_runnable(self._artifact, self._package, self.cuda.device)
        self._free_at_first = self.cuda.free_bytes()
        started = time.perf_counter()
        plan = trusted_bytes(self._artifact)
        require_plan(plan, self._package, self._artifact.path.name)
        self.engine = CudaEngine(self._package, self._artifact, plan)
        owned.callback(self.engine.close)
        self.load_ms = 1000 * (time.perf_counter() - started)
        accepted, batch = self.engine.input, self._options.batch_size
        if not accepted.smallest_batch <= batch <= accepted.largest_batch:
            raise BackendError(
                f"batch size {batch} was asked for, but {self.engine.name} takes {accepted.smallest_batch} to "
                f"{accepted.largest_batch}; choose a size in between, or build it with another --batch"
            )

    def _settings(self, owned: ExitStack) -> RtxSettings | None:
        if self._package != "tensorrt_rtx":
            return None
        settings = RtxSettings(self.engine, self._artifact, self._options.cuda_graphs)
        owned.callback(settings.close)
        return settings

    def _fitting(self, batch: int) -> ExitStack:
        """Makes contexts and slots for the largest batch that fits, halving it as often as needed."""
        smallest = self.engine.input.smallest_batch
        refusal = ""
        for size, frugal in _attempts(batch, smallest):
            try:
                made = self._made(size, frugal)
            except DeviceMemoryError as error:
                refusal = str(error)
                continue
            if size != batch:
                self.notes.append(
                    f"batch {batch} does not fit into the memory of {self.cuda.device.name} ({refusal}); "
                    f"running with {size}"
                )
            return made
        asked = DEPTH * smallest * (self.engine.input.image_bytes + 4) + self.engine.context_bytes
        raise DeviceMemoryError(
            f"{self.engine.name} does not fit into the memory of {self.cuda.device.name} even with batch {smallest}: "
            f"up to {-(-asked // _MIB)} MiB asked, {self.cuda.free_bytes() // _MIB} MiB free ({refusal}); "
            "end what else uses the GPU, or build with a smaller --batch"
        )

    def _made(self, batch: int, frugal: bool) -> ExitStack:
        with ExitStack() as owned:
            contexts = TensorRTContexts(self.engine, self.cuda, self._streams.compute, batch, frugal, self.rtx)
            owned.callback(contexts.close)
            graphs = self._options.cuda_graphs and self.rtx is None
            self.slots = ExecutionSlots(self.cuda, self._streams, self.engine.input, batch, contexts, graphs)
            owned.callback(self.slots.close)
            return owned.pop_all()


def _attempts(batch: int, smallest: int) -> Iterator[tuple[int, bool]]:
    """Yields batch sizes to try, and whether scratch memory is to be sized for them instead of the engine's largest."""
    yield batch, False
    yield batch, True
    while batch > smallest:
        batch = max(batch // 2, smallest)
        yield batch, True
