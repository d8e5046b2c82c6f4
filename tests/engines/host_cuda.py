"""CUDA on host memory, for tests: as late and as disorderly as CUDA may be, and strict where CUDA merely misbehaves.

Work on streams is not done when it is enqueued. It is done when the host waits for it, and only as much as that takes
(`eagerness` 0), or at random moments in a random order of the streams. Every rule is checked besides, whatever the
order: vector clocks find each pair of accesses that no event keeps apart.
"""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from engines.cuda import CudaDevice, CudaError, DeviceLostError, DeviceMemoryError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from numpy.typing import NDArray
    from typing_extensions import Self

Clock: TypeAlias = "dict[int, int]"
ALIGNMENT = 256
_POISON = 0xFF  # NaN, read as float32
_CHUNK = 16
_FIRST_POINTER = 0x7F00_0000_0000_0000
_MS_PER_COPIED_KIB = 0.5


class CudaRuleError(AssertionError):
    """The code under test did what CUDA forbids, or what makes its results depend on luck."""


@dataclass
class Memory:
    """An allocation; `virgin` is its random first content on the host, `written` tells which bytes the device holds."""

    address: int
    data: NDArray[np.uint8]
    pinned: bool
    virgin: NDArray[np.uint8]
    written: NDArray[np.bool_]


@dataclass(frozen=True)
class Access:
    """A range that work reads or writes."""

    address: int
    size: int
    writes: bool

    def conflicts(self, other: Access) -> bool:
        return (
            (self.writes or other.writes)
            and self.address < other.address + other.size
            and other.address < self.address + self.size
        )


@dataclass(frozen=True)
class Action:
    """Work that does something."""

    what: str
    accesses: tuple[Access, ...]
    milliseconds: float
    run: Callable[[], None]
    not_before: float = 0.0
    graph: int = 0


@dataclass(frozen=True)
class Mark:
    """A point of a stream: an event is recorded there, or (`waits`) waited for, in the version it has by then."""

    event: int
    version: int
    waits: bool
    not_before: float


@dataclass
class Stream:
    queue: deque[Action | Mark] = field(default_factory=deque)
    clock: Clock = field(default_factory=dict)
    free_at: float = 0.0


@dataclass
class Event:
    version: int = 0
    passed: int = 0
    stream: int = 0
    clock: Clock = field(default_factory=dict)
    time: float = 0.0


class HostCuda:
    """Implements `engines.cuda.Cuda`.

    Args:
        seed: Of the order in which streams proceed.
        eagerness: Chance that a call lets streams proceed before the host waits for them.
        memory_bytes: Of the device.
        lost_after: Number of calls after which the device is lost; None for never.
        captures: Whether work can be captured as a graph.

    Attributes:
        broken: Every rule that was broken, also where the error was caught.
        leaked: What the code under test had not freed at the end.
    """

    name = "host memory"

    def __init__(
        self,
        seed: int = 0,
        eagerness: float = 0.0,
        memory_bytes: int = 1 << 30,
        lost_after: int | None = None,
        captures: bool = True,
    ) -> None:
        self.device = CudaDevice(0, "Pretended GPU", "8.9", memory_bytes, "13.0", "580.0")
        self.broken: list[str] = []
        self.leaked: list[str] = []
        self.calls = 0
        self.captures = captures
        self.lost_after = lost_after
        self.open = False
        self._random = random.Random(seed)
        self._noise = np.random.default_rng(seed)
        self._eagerness = eagerness
        self._next = _FIRST_POINTER
        self._memories: dict[int, Memory] = {}
        self._freed: set[int] = set()
        self._streams: dict[int, Stream] = {}
        self._events: dict[int, Event] = {}
        self._graphs: dict[int, list[Action]] = {}
        self._capturing: dict[int, list[Action]] = {}
        self._past: list[tuple[Access, int, int, str]] = []
        self._host_clock: Clock = {}
        self._host_time = 0.0

    # What tests ask and what pretended kernels use

    @property
    def live(self) -> list[str]:
        """What was handed out and must be freed by whoever asked for it."""
        memories = [
            f"{'page-locked' if m.pinned else 'device'} memory of {m.data.size}" for m in self._memories.values()
        ]
        return memories + ["graph"] * len(self._graphs)

    @property
    def now_ms(self) -> float:
        """When the host last found something done, on a clock on which work takes as long as it says."""
        return self._host_time

    def capturing(self, stream: int) -> bool:
        """Tells whether work of a stream is being captured."""
        return stream in self._capturing

    def kernel(
        self,
        what: str,
        stream: int,
        reads: Sequence[tuple[int, int]],
        writes: Sequence[tuple[int, int]],
        compute: Callable[..., Sequence[NDArray[np.uint8]]],
        milliseconds: float,
    ) -> None:
        """Enqueues a kernel that turns the bytes of its input ranges into those of its output ranges."""
        self._called()
        for address, size in (*reads, *writes):
            self._memory(address, size, what, pinned=False)
            if address % ALIGNMENT:
                self._break(f"{what}: address {address:#x} is not aligned to {ALIGNMENT}")

        def run() -> None:
            for (address, size), result in zip(
                writes, compute(*(self._read(*part, what) for part in reads)), strict=True
            ):
                self._write(address, size, result, what)

        accesses = (*(Access(*part, False) for part in reads), *(Access(*part, True) for part in writes))
        self._enqueue(stream, Action(what, accesses, milliseconds, run))

    # The protocol

    def __enter__(self) -> Self:
        if self.open:
            self._break("the device is opened twice")
        self.open = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        lost = self._lost()
        if not lost:
            self._run_everything()
        self.leaked += self.live
        self._memories.clear()
        self._graphs.clear()
        self.open = False
        if lost and error is None:
            raise DeviceLostError("the pretended GPU is lost")

    def allocate(self, size: int) -> int:
        self._called("allocate")
        if size > self.free_bytes():
            raise DeviceMemoryError(f"cuMemAlloc of {size} bytes: out of memory")
        if size <= 0:
            self._break(f"allocates {size} bytes")
        address, self._next = self._next, self._next + (-(-size // ALIGNMENT) + 1) * ALIGNMENT
        data = np.full(size, _POISON, np.uint8)
        self._memories[address] = Memory(address, data, False, data, np.zeros(size, np.bool_))
        return address

    def free(self, pointer: int) -> None:
        self._release(pointer, pinned=False)

    def allocate_pinned(self, size: int) -> NDArray[np.uint8]:
        self._called("allocate_pinned")
        data = self._noise.integers(0, 256, size, np.uint8)
        address = data.ctypes.data
        self._freed.discard(address)
        self._memories[address] = Memory(address, data, True, data.copy(), np.zeros(0, np.bool_))
        return data

    def free_pinned(self, memory: NDArray[np.uint8]) -> None:
        self._release(memory.ctypes.data, pinned=True)

    def free_bytes(self) -> int:
        self._called()
        return self.device.memory_bytes - sum(m.data.size for m in self._memories.values() if not m.pinned)

    def stream(self) -> int:
        self._called("stream")
        self._streams[len(self._streams) + 1] = Stream()
        return len(self._streams)

    def event(self) -> int:
        self._called("event")
        self._events[len(self._events) + 1] = Event()
        return len(self._events)

    def copy_to_device_async(self, pointer: int, source: NDArray[np.uint8], stream: int) -> None:
        self._called("copy")
        size, what = self._checked_host(source), "copy to the device"
        self._memory(pointer, size, what, pinned=False)
        pinned = self._memory(source.ctypes.data, size, what, pinned=True)
        offset = source.ctypes.data - pinned.address
        sent = source.copy()
        whole = size - size % _CHUNK
        virgin = pinned.virgin[offset : offset + whole].reshape(-1, _CHUNK)
        if (virgin == sent[:whole].reshape(-1, _CHUNK)).all(axis=1).any():
            self._break("copies page-locked memory to the device that nobody wrote")

        def run() -> None:
            if not np.array_equal(sent, source):
                self._break("page-locked memory was overwritten before its copy to the device was done")
            self._write(pointer, size, source, what)

        accesses = (Access(source.ctypes.data, size, False), Access(pointer, size, True))
        self._enqueue(stream, Action(what, accesses, size / 1024 * _MS_PER_COPIED_KIB, run))

    def copy_to_host_async(self, destination: NDArray[np.uint8], pointer: int, stream: int) -> None:
        self._called("copy")
        size, what = self._checked_host(destination), "copy to the host"
        self._memory(pointer, size, what, pinned=False)
        self._memory(destination.ctypes.data, size, what, pinned=True)
        destination[:] = _POISON

        def run() -> None:
            if (destination != _POISON).any():
                self._break("page-locked memory was written before its copy from the device was done")
            destination[:] = self._read(pointer, size, what)

        accesses = (Access(pointer, size, False), Access(destination.ctypes.data, size, True))
        self._enqueue(stream, Action(what, accesses, size / 1024 * _MS_PER_COPIED_KIB, run))

    def record(self, event: int, stream: int) -> None:
        self._called()
        if stream in self._capturing:
            self._break("records an event into a graph")
        known = self._events[event]
        known.version += 1
        known.stream = stream
        known.clock = dict(self._joined(stream))
        self._streams[stream].queue.append(Mark(event, known.version, False, self._host_time))

    def wait(self, stream: int, event: int) -> None:
        self._called()
        known = self._events[event]
        if not known.version:
            self._break("waits for an event that was never recorded")
        _join(self._joined(stream), known.clock)
        self._streams[stream].queue.append(Mark(event, known.version, True, self._host_time))

    def synchronize(self, event: int) -> None:
        self._called()
        known = self._events[event]
        if not known.version:
            self._break("waits for an event that was never recorded")
        self._run_until(event, known.version)
        _join(self._host_clock, known.clock)
        self._host_time = max(self._host_time, known.time)

    def synchronize_stream(self, stream: int) -> None:
        self._called()
        if stream in self._capturing:
            raise CudaError("cuStreamSynchronize: operation not permitted when stream is capturing")
        while self._streams[stream].queue:
            self._step(stream)
        _join(self._host_clock, self._streams[stream].clock)
        self._host_time = max(self._host_time, self._streams[stream].free_at)

    def elapsed_ms(self, first: int, last: int) -> float:
        self._called()
        for event in (self._events[first], self._events[last]):
            if event.passed != event.version or not event.version:
                self._break("asks for the time of an event that has not passed")
        return self._events[last].time - self._events[first].time

    def captured(self, stream: int, enqueue: Callable[[], None]) -> int:
        self._called("capture")
        if not self.captures:
            raise CudaError("cuStreamBeginCapture: operation not permitted")
        self._capturing[stream] = []
        try:
            enqueue()
        finally:
            work = self._capturing.pop(stream)
        graph = self._next = self._next + ALIGNMENT
        self._graphs[graph] = work
        return graph

    def launch(self, graph: int, stream: int) -> None:
        self._called()
        if graph not in self._graphs:
            self._break("launches a graph that was freed or never captured")
        work = self._graphs[graph]
        accesses = tuple(access for action in work for access in action.accesses)

        def run() -> None:
            for action in work:
                action.run()

        milliseconds = sum(action.milliseconds for action in work)
        self._enqueue(stream, Action("graph", accesses, milliseconds, run, graph=graph))

    def free_graph(self, graph: int) -> None:
        self._count()
        if graph not in self._graphs:
            self._break("frees a graph twice, or one that never was")
        if not self._lost():
            for stream, known in self._streams.items():
                if any(isinstance(work, Action) and work.graph == graph for work in known.queue):
                    self._break(f"frees a graph that stream {stream} has not run yet")
        del self._graphs[graph]
        self._raise_if_lost()

    # How it works

    def _called(self, allocating: str = "") -> None:
        self._count()
        self._raise_if_lost()
        if allocating and self._capturing and allocating != "copy":
            self._break(f"{allocating} while work is being captured")
        if self._random.random() < self._eagerness:
            streams = [stream for stream, known in self._streams.items() for _ in known.queue]
            self._random.shuffle(streams)
            for stream in streams[: self._random.randint(0, len(streams))]:
                if self._runnable(stream):
                    self._step(stream)

    def _count(self) -> None:
        if not self.open:
            self._break("the device is used while it is closed")
        self.calls += 1

    def _lost(self) -> bool:
        return self.lost_after is not None and self.calls > self.lost_after

    def _raise_if_lost(self) -> None:
        if self._lost():
            raise DeviceLostError("the pretended GPU is lost")

    def _break(self, rule: str) -> None:
        self.broken.append(rule)
        raise CudaRuleError(rule)

    def _memory(self, address: int, size: int, what: str, pinned: bool) -> Memory:
        for memory in self._memories.values():
            if memory.address <= address < memory.address + memory.data.size and memory.pinned == pinned:
                if address + size > memory.address + memory.data.size:
                    self._break(f"{what}: {size} bytes reach beyond the {memory.data.size} that were allocated")
                return memory
        fate = "was freed" if address in self._freed else "is not of the kind that it has to be"
        self._break(f"{what}: memory at {address:#x} {fate}")
        raise NotImplementedError

    def _checked_host(self, memory: NDArray[np.uint8]) -> int:
        if not memory.flags.c_contiguous or memory.dtype != np.uint8:
            self._break("copies host memory that is not contiguous bytes")
        return memory.nbytes

    def _release(self, address: int, pinned: bool) -> None:
        self._count()
        memory = self._memories.get(address)
        if memory is None or memory.pinned != pinned:
            self._break(f"frees {'page-locked' if pinned else 'device'} memory that was freed already or never was")
            return
        if not self._lost():
            whole = Access(address, memory.data.size, True)
            for access, stream, number, what in self._past:
                if whole.conflicts(access) and self._host_clock.get(stream, 0) < number:
                    self._break(f"frees memory before the host knows that this is done: {what}")
            memory.data[:] = _POISON
        del self._memories[address]
        self._freed.add(address)
        self._raise_if_lost()

    def _read(self, address: int, size: int, what: str) -> NDArray[np.uint8]:
        memory = self._memory(address, size, what, pinned=False)
        part = slice(address - memory.address, address - memory.address + size)
        if not memory.written[part].all():
            self._break(f"{what}: reads device memory that nobody wrote")
        return np.array(memory.data[part])

    def _write(self, address: int, size: int, values: NDArray[np.uint8], what: str) -> None:
        memory = self._memory(address, size, what, pinned=False)
        part = slice(address - memory.address, address - memory.address + size)
        memory.data[part] = values
        memory.written[part] = True

    def _joined(self, stream: int) -> Clock:
        """Returns a stream's clock, brought up to what the host knows as it enqueues."""
        clock = self._streams[stream].clock
        _join(clock, self._host_clock)
        return clock

    def _enqueue(self, stream: int, action: Action) -> None:
        if stream in self._capturing:
            self._capturing[stream].append(action)
            return
        clock = self._joined(stream)
        clock[stream] = clock.get(stream, 0) + 1
        self._past = [past for past in self._past if self._host_clock.get(past[1], 0) < past[2]]
        for access in action.accesses:
            for other, where, number, what in self._past:
                if access.conflicts(other) and clock.get(where, 0) < number:
                    self._break(f"race: nothing keeps '{action.what}' behind '{what}'")
        self._past += [(access, stream, clock[stream], action.what) for access in action.accesses]
        timed = Action(action.what, action.accesses, action.milliseconds, action.run, self._host_time, action.graph)
        self._streams[stream].queue.append(timed)

    def _runnable(self, stream: int) -> bool:
        queue = self._streams[stream].queue
        if not queue:
            return False
        head = queue[0]
        return not (isinstance(head, Mark) and head.waits and self._events[head.event].passed < head.version)

    def _step(self, stream: int) -> None:
        known = self._streams[stream]
        head = known.queue[0]
        if isinstance(head, Mark) and head.waits:
            self._run_until(head.event, head.version)
        known.queue.popleft()
        known.free_at = max(known.free_at, head.not_before)
        if isinstance(head, Action):
            head.run()
            known.free_at += head.milliseconds
        elif head.waits:
            known.free_at = max(known.free_at, self._events[head.event].time)
        else:
            event = self._events[head.event]
            event.passed, event.time = head.version, known.free_at

    def _run_until(self, event: int, version: int) -> None:
        stream = self._events[event].stream
        while self._events[event].passed < version:
            if not self._streams[stream].queue:
                self._break("waits for an event that will never pass")
            self._step(stream)

    def _run_everything(self) -> None:
        for stream in self._streams:
            while self._streams[stream].queue:
                self._step(stream)


def _join(clock: Clock, other: Clock) -> None:
    for stream, number in other.items():
        clock[stream] = max(clock.get(stream, 0), number)
