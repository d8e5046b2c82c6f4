"""What every engine's runner can do beyond one batch: keep the device busy, and tell how long everything takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from export.runner import Runner

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    import numpy as np
    from numpy.typing import NDArray

    from export.runner import Images


@dataclass(frozen=True)
class RunOptions:
    """How an engine is run.

    Attributes:
        batch_size: Most images per inference; a runner allocates for as many.
        cuda_graphs: Whether a GPU replays each batch size from a CUDA graph.
        gpu: Index of the GPU.
        inferences: Inferences that `infer_each` may run at a time on the processors; with 1, each has all of them.
            Logits are the same. A GPU's runner overlaps copies and compute in any case.
    """

    batch_size: int = 16
    cuda_graphs: bool = True
    gpu: int = 0
    inferences: int = 1


@dataclass(frozen=True)
class Query:
    """How long one inference took; a query is one batch, as in trtexec.

    Attributes:
        started: When its input began to move, in seconds of `time.perf_counter`.
        ended: When its output had arrived on the host, likewise.
        compute_ms: Time of the network itself: between two CUDA events on a GPU, of the call on a CPU.
        to_device_ms: Time of the copy of the input, between two CUDA events; None where nothing is copied.
        to_host_ms: Time of the copy of the output, likewise.
        enqueue_ms: Host time of handing the work to the GPU; None where there is none.
    """

    started: float
    ended: float
    compute_ms: float
    to_device_ms: float | None = None
    to_host_ms: float | None = None
    enqueue_ms: float | None = None

    @property
    def latency_ms(self) -> float:
        """Copy to the device + compute + copy to the host: what trtexec calls Latency."""
        return (self.to_device_ms or 0.0) + self.compute_ms + (self.to_host_ms or 0.0)


@dataclass(frozen=True)
class ColdStart:
    """What the first answer costs, which no steady-state figure contains.

    Attributes:
        load_ms: Reading, checking and deserializing the engine.
        prepare_ms: Creating its execution context and buffers; where kernels are compiled on the device (TensorRT for
            RTX), that, too. None where the backend does not tell it apart from loading.
        first_inference_ms: The first inference after that, at the smallest batch that was asked for.
        memory_bytes: Device memory that engine, context and buffers hold; None on a CPU.
    """

    load_ms: float
    prepare_ms: float | None
    first_inference_ms: float
    memory_bytes: int | None


class EngineRunner(Runner, Protocol):
    """A runner of a built engine."""

    @property
    def largest_batch(self) -> int:
        """Images per inference that the buffers hold: what was asked for, or less where the device's memory ran out."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """What happened that a reader of scores and timings must know, such as a halved batch; one sentence each."""
        ...

    @property
    def conditions(self) -> dict[str, str]:
        """What holds for its timings, such as `CUDA graph` -> `yes` or `provider` -> `CPUExecutionProvider`."""
        ...

    def infer_each(self, batches: Iterable[Images]) -> Iterator[NDArray[np.float32]]:
        """Yields the fake logits (N,) of each batch in order; may take some batches ahead of what it yielded."""
        ...

    def queries(self, images: Images) -> Generator[Query, None, None]:
        """Runs one batch again and again, as fast as the device takes it, and yields each query once it is done.

        The iterator is endless; closing it waits for what is in flight.
        """
        ...

    def cold_start(self, images: Images) -> ColdStart:
        """Runs a batch for the first time and returns what getting there cost; call it before anything else."""
        ...
