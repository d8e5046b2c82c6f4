"""Two batches in flight: page-locked and device buffers, three streams, and the events that keep them in order.

While the device computes one batch, the next one is copied to it and the one before it copied back. A slot holds one
batch; the host fills it again only after its output has arrived, so that nothing in flight is ever written to.
"""

from __future__ import annotations

import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np

from engines.cuda import CudaError, DeviceLostError
from engines.engine_runner import Query
from export.errors import BackendError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from engines.cuda import Cuda
    from engines.tensorrt_engine import EngineInput
    from export.runner import Images

DEPTH = 2
_LOGIT_BYTES = 4


class Computation(Protocol):
    """What a slot runs between its copies."""

    def bind(self, slot: int, batch: int, device_input: int, device_output: int) -> None:
        """Tells which memory the next `enqueue` of the slot reads and writes; raises BackendError."""
        ...

    def enqueue(self, slot: int, stream: int) -> None:
        """Enqueues the network on a stream; raises BackendError."""
        ...


@dataclass(frozen=True)
class Streams:
    """One stream per engine of the GPU: its two copy engines and its multiprocessors."""

    to_device: int
    compute: int
    to_host: int

    @classmethod
    def of(cls, cuda: Cuda) -> Streams:
        """Returns three new streams."""
        return cls(cuda.stream(), cuda.stream(), cuda.stream())


@dataclass(frozen=True)
class Marks:
    """Events around the three steps of a batch."""

    input_started: int
    input_done: int
    compute_started: int
    compute_done: int
    output_started: int
    output_done: int

    @classmethod
    def of(cls, cuda: Cuda) -> Marks:
        """Returns six new events."""
        return cls(*(cuda.event() for _ in range(6)))


@dataclass
class Slot:
    """Buffers of one batch.

    Attributes:
        index: Its number.
        pinned_input: Page-locked memory, which the host fills.
        pinned_output: Page-locked memory, from which the host reads logits.
        device_input: Device memory that the network reads.
        device_output: Device memory that the network writes.
        marks: Its events.
        graphs: Batch size -> executable CUDA graph of its computation; at most that of the latest size.
        started: When its latest batch was handed over, in seconds of `time.perf_counter`.
        enqueue_ms: Host time that handing over its latest computation took.
    """

    index: int
    pinned_input: NDArray[np.uint8]
    pinned_output: NDArray[np.uint8]
    device_input: int
    device_output: int
    marks: Marks
    graphs: dict[int, int] = field(default_factory=dict)
    started: float = 0.0
    enqueue_ms: float = 0.0


class ExecutionSlots:
    """Slots for up to `batch` images each.

    Args:
        cuda: The device; it outlives the slots.
        streams: Its streams.
        engine_input: What one image is.
        batch: Most images per slot.
        computation: What is run on them.
        cuda_graphs: Whether the computation is captured once per batch size and replayed until another size comes.

    Attributes:
        notes: Why CUDA graphs are not used although they were asked for; empty otherwise.

    Raises:
        DeviceMemoryError: The buffers do not fit; nothing stays allocated.
    """

    def __init__(
        self,
        cuda: Cuda,
        streams: Streams,
        engine_input: EngineInput,
        batch: int,
        computation: Computation,
        cuda_graphs: bool,
    ) -> None:
        self._cuda = cuda
        self._streams = streams
        self._input = engine_input
        self.batch = batch
        self._computation = computation
        self.cuda_graphs = cuda_graphs
        self.notes: list[str] = []
        self._in_flight: set[int] = set()
        self._shaped = 0
        self._slots: list[Slot] = []
        with ExitStack() as owned:
            for index in range(DEPTH):
                self._slots.append(self._allocated(index, owned))
            self._owned = owned.pop_all()

    def __iter__(self) -> Iterator[Slot]:
        return iter(self._slots)

    def __getitem__(self, turn: int) -> Slot:
        """Returns the slot of a batch, by the batch's number; a RuntimeError if the slots are closed."""
        if not self._slots:
            raise RuntimeError("an iterator of a runner was used after the runner's 'with' block")
        return self._slots[turn % DEPTH]

    def put(self, slot: Slot, images: Images, batch: int) -> None:
        """Copies images to a slot's page-locked memory and fills the batch up with zeros."""
        rows = self._rows(slot)
        rows[: len(images)] = images
        rows[len(images) : batch] = 0

    def start(self, slot: Slot, batch: int, capture: bool = True) -> None:
        """Hands a slot's batch over to the device and returns before anything of it is done.

        Only the first batch of a size waits: TensorRT settles a shape in an ordinary enqueue, and the graph is
        captured right after that, with nothing in between.

        Args:
            slot: A slot that is not in flight.
            batch: Images, of which all were put.
            capture: Whether this batch may make a CUDA graph for the next one of its size.
        """
        self._in_flight.add(slot.index)
        slot.started = time.perf_counter()
        self._copy_in(slot, batch)
        captured = self._compute(slot, batch)
        self._copy_out(slot, batch)
        if capture and self.cuda_graphs and not captured:
            self._capture(slot, batch)

    def finish(self, slot: Slot) -> None:
        """Waits until the output of a slot has arrived; then the slot may be used again."""
        self._cuda.synchronize(slot.marks.output_done)
        self._in_flight.discard(slot.index)

    def logits(self, slot: Slot, count: int) -> NDArray[np.float32]:
        """Returns a copy of the first logits of a finished slot."""
        return np.array(slot.pinned_output[: count * _LOGIT_BYTES].view(np.float32), dtype=np.float32)

    def query(self, slot: Slot, ended: float) -> Query:
        """Tells how long the steps of a finished slot took."""
        elapsed, marks = self._cuda.elapsed_ms, slot.marks
        return Query(
            started=slot.started,
            ended=ended,
            compute_ms=elapsed(marks.compute_started, marks.compute_done),
            to_device_ms=elapsed(marks.input_started, marks.input_done),
            to_host_ms=elapsed(marks.output_started, marks.output_done),
            enqueue_ms=slot.enqueue_ms,
        )

    def drain(self) -> None:
        """Waits for what is in flight and forgets it, also where the device is lost and waiting fails.

        It waits for the streams, because a batch that failed halfway has not recorded its last event.
        """
        if not self._in_flight:
            return
        for stream in (self._streams.to_device, self._streams.compute, self._streams.to_host):
            with suppress(CudaError):  # whoever stops early has an error already, or meets this one at the next call
                self._cuda.synchronize_stream(stream)
        self._in_flight.clear()

    def close(self) -> None:
        """Waits for what is in flight, then frees graphs and buffers; each is tried even if one before it fails."""
        self.drain()
        with ExitStack() as closing:
            closing.callback(self._owned.close)
            closing.callback(self._slots.clear)
            self._free_graphs()

    def _allocated(self, index: int, owned: ExitStack) -> Slot:
        cuda, input_bytes, output_bytes = self._cuda, self.batch * self._input.image_bytes, self.batch * _LOGIT_BYTES
        device_input = cuda.allocate(input_bytes)
        owned.callback(cuda.free, device_input)
        device_output = cuda.allocate(output_bytes)
        owned.callback(cuda.free, device_output)
        pinned_input = cuda.allocate_pinned(input_bytes)
        owned.callback(cuda.free_pinned, pinned_input)
        pinned_output = cuda.allocate_pinned(output_bytes)
        owned.callback(cuda.free_pinned, pinned_output)
        return Slot(index, pinned_input, pinned_output, device_input, device_output, Marks.of(cuda))

    def _rows(self, slot: Slot) -> Images:
        rows: Images = slot.pinned_input.view(self._input.dtype).reshape(self.batch, *self._input.image_shape)
        return rows

    def _copy_in(self, slot: Slot, batch: int) -> None:
        cuda, stream, marks = self._cuda, self._streams.to_device, slot.marks
        cuda.record(marks.input_started, stream)
        cuda.copy_to_device_async(slot.device_input, slot.pinned_input[: batch * self._input.image_bytes], stream)
        cuda.record(marks.input_done, stream)

    def _compute(self, slot: Slot, batch: int) -> bool:
        """Enqueues the network; returns whether that was done by a graph."""
        cuda, stream, marks = self._cuda, self._streams.compute, slot.marks
        if batch != self._shaped:
            # A graph holds state of its execution context, which another shape changes (NVIDIA/TensorRT#3798).
            cuda.synchronize_stream(stream)
            self._free_graphs()
            self._shaped = batch
        cuda.wait(stream, marks.input_done)
        cuda.record(marks.compute_started, stream)
        graph = slot.graphs.get(batch)
        before = time.perf_counter()
        if graph is None:
            self._computation.bind(slot.index, batch, slot.device_input, slot.device_output)
            self._computation.enqueue(slot.index, stream)
        else:
            cuda.launch(graph, stream)
        slot.enqueue_ms = 1000 * (time.perf_counter() - before)
        cuda.record(marks.compute_done, stream)
        return graph is not None

    def _copy_out(self, slot: Slot, batch: int) -> None:
        cuda, stream, marks = self._cuda, self._streams.to_host, slot.marks
        cuda.wait(stream, marks.compute_done)
        cuda.record(marks.output_started, stream)
        cuda.copy_to_host_async(slot.pinned_output[: batch * _LOGIT_BYTES], slot.device_output, stream)
        cuda.record(marks.output_done, stream)

    def _capture(self, slot: Slot, batch: int) -> None:
        stream = self._streams.compute
        self._cuda.synchronize_stream(stream)
        try:
            graph = self._cuda.captured(stream, lambda: self._computation.enqueue(slot.index, stream))
        except DeviceLostError:
            raise
        except BackendError as error:
            self.cuda_graphs = False
            self.notes.append(f"the engine cannot be captured as a CUDA graph and is enqueued each time ({error})")
            return
        slot.graphs[batch] = graph

    def _free_graphs(self) -> None:
        with ExitStack() as freeing:  # each is tried even if one before it fails
            for slot in self._slots:
                for graph in slot.graphs.values():
                    freeing.callback(self._cuda.free_graph, graph)
                slot.graphs.clear()
