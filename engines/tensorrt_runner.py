"""Runs a TensorRT plan on a GPU with two batches in flight, and tells how long each step takes, as trtexec does."""

from __future__ import annotations

import time
from collections import deque
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING

import numpy as np

from engines.engine_runner import ColdStart
from engines.execution_slots import DEPTH
from engines.tensorrt_session import TensorRTSession
from export.errors import BackendError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator
    from types import TracebackType

    from numpy.typing import NDArray
    from typing_extensions import Self

    from engines.cuda import Cuda
    from engines.engine_runner import Query, RunOptions
    from export.runner import Images
    from export.sidecar import Artifact


class TensorRTRunner:
    """An EngineRunner of plans of `tensorrt` 8.6 to 11 and `tensorrt_rtx`.

    Everything it holds, the GPU included, it holds inside the `with` block. Scores are computed in batches of
    `largest_batch`, the last one filled up with zero images, so that one shape is prepared and no score depends on how
    many images came with it; `queries` and `cold_start` run exactly the batch they get. Use it in the thread that
    enters the block, and read its notes and conditions there.

    Args:
        package: `tensorrt` or `tensorrt_rtx`.
        engine: The plan with its sidecar.
        options: Batch size, CUDA graphs and GPU.
        open_device: Opens a GPU by its index; `engines.cuda_choice.open_cuda` unless told otherwise.
    """

    def __init__(
        self,
        package: str,
        engine: Artifact,
        options: RunOptions,
        open_device: Callable[[int], Cuda] | None = None,
    ) -> None:
        self._package = package
        self._artifact = engine
        self._options = options
        self._open_device = open_device
        self._opened: TensorRTSession | None = None
        self._prepared: set[int] = set()

    def __enter__(self) -> Self:
        """Opens the GPU, checks and deserializes the plan, and allocates; raises BackendError (see TensorRTSession)."""
        if self._opened is not None:
            raise RuntimeError("this TensorRTRunner is in use already")
        from engines.cuda_choice import open_cuda

        self._prepared.clear()
        open_device = self._open_device or open_cuda
        self._opened = TensorRTSession(self._package, self._artifact, self._options, open_device)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Frees everything; never hides the error of the block."""
        session, self._opened = self._opened, None
        if session is not None:
            session.close(kind, error, trace)

    @property
    def largest_batch(self) -> int:
        """Images per inference."""
        return self._session.slots.batch

    @property
    def notes(self) -> tuple[str, ...]:
        """A halved batch, a graph that could not be captured, kernels that could not be kept or were at the start."""
        session = self._session
        return (*session.notes, *session.slots.notes, *(session.rtx.notes if session.rtx else ()))

    @property
    def conditions(self) -> dict[str, str]:
        """Says how it ran, in trtexec's terms; ask after the runs, because graphs are captured during them."""
        session = self._session
        slots, rtx = session.slots, session.rtx
        graphs = rtx.cuda_graphs if rtx else "yes" if slots.cuda_graphs else "not captured" if slots.notes else "no"
        trtexec = "--useCudaGraph" if graphs.startswith("yes") else "--noCudaGraph"
        return {
            "CUDA from": session.cuda.name,
            "CUDA graph": graphs,
            "copies": "included, page-locked memory",
            "streams": "copy to device, compute, copy to host; two batches in flight",
            "waiting": "CUDA event, automatic schedule",
            "as": f"trtexec {trtexec} --includeDataTransfers (TensorRT 11; before, copies are included by default)",
            **(rtx.conditions if rtx else {}),
        }

    def infer(self, images: Images) -> NDArray[np.float32]:
        """Returns fake logits (N,) of any number of images.

        Raises:
            BackendError: The images are not in the engine's form, or TensorRT or CUDA failed.
        """
        [logits] = self.infer_each([images])
        return logits

    def infer_each(self, batches: Iterable[Images]) -> Generator[NDArray[np.float32], None, None]:
        """Yields the logits of each batch in order, of any size; takes up to two batches ahead of what it yielded.

        While the device computes one batch, the host fetches and copies the next. Closing the iterator early waits for
        what is in flight.

        Raises:
            BackendError: As `infer`; what was yielded before stays valid.
        """
        return self._logits_of_each(self._session, batches)

    def queries(self, images: Images) -> Generator[Query, None, None]:
        """Runs one batch again and again, enqueueing one ahead as trtexec does, from memory that is filled once.

        Raises:
            BackendError: The batch is larger than `largest_batch` or smaller than the engine takes, or the device
                fails.
        """
        self._check_query(images)
        return self._endless_queries(self._session, images)

    def cold_start(self, images: Images) -> ColdStart:
        """Runs a batch for the first time, without capturing it as a CUDA graph.

        Raises:
            BackendError: As `queries`.
        """
        session = self._session
        if self._prepared:
            raise RuntimeError("cold_start was called after another inference")
        self._check_query(images)
        with self._reserved(session):
            slot = session.slots[0]
            session.slots.put(slot, images, len(images))
            session.slots.start(slot, len(images), capture=False)
            first_ms = 1000 * (self._finished(session, 0, len(images)) - slot.started)
        if session.rtx is not None and session.rtx.reused:
            # No condition: it bears on the cold start only, and times are compared under equal conditions.
            session.notes.append("its cold start took kernels that an earlier start had compiled and kept")
        # Asked after it, because CUDA loads kernels when they are first needed.
        return ColdStart(session.load_ms, session.prepare_ms, first_ms, session.held_bytes())

    @property
    def _session(self) -> TensorRTSession:
        if self._opened is None:
            raise RuntimeError("TensorRTRunner was used outside its 'with' block")
        return self._opened

    @contextmanager
    def _reserved(self, session: TensorRTSession) -> Iterator[None]:
        """Keeps two iterators from sharing the slots, and leaves nothing in flight."""
        if session.busy:
            raise RuntimeError(
                "another iterator of this TensorRTRunner has batches in flight; finish or close it first"
            )
        session.busy = True
        try:
            yield
        finally:
            session.busy = False
            session.slots.drain()

    def _logits_of_each(
        self, session: TensorRTSession, batches: Iterable[Images]
    ) -> Generator[NDArray[np.float32], None, None]:
        with self._reserved(session):
            in_flight: deque[tuple[int, int, bool]] = deque()
            collected: list[NDArray[np.float32]] = []
            for turn, (images, ends) in enumerate(self._parts(batches, session.slots.batch)):
                full = len(in_flight) == DEPTH
                complete = self._collected(session, *in_flight.popleft(), collected) if full else None
                if len(images):
                    session.slots.put(session.slots[turn], images, session.slots.batch)
                    session.slots.start(session.slots[turn], session.slots.batch)
                in_flight.append((turn, len(images), ends))
                if complete is not None:  # yielded only now, so that the device stays busy meanwhile
                    yield complete
            while in_flight:
                complete = self._collected(session, *in_flight.popleft(), collected)
                if complete is not None:
                    yield complete

    def _parts(self, batches: Iterable[Images], size: int) -> Iterator[tuple[Images, bool]]:
        """Yields what fits into a slot, and whether it ends a batch; a batch of no image is one empty part."""
        for batch in batches:
            self._check_form(batch)
            starts = range(0, max(len(batch), 1), size)
            for start in starts:
                yield batch[start : start + size], start == starts[-1]

    def _collected(
        self, session: TensorRTSession, turn: int, images: int, ends: bool, collected: list[NDArray[np.float32]]
    ) -> NDArray[np.float32] | None:
        """Waits for a part and returns the logits of a batch that is complete."""
        if images:
            self._finished(session, turn, session.slots.batch)
        collected.append(session.slots.logits(session.slots[turn], images))
        if not ends:
            return None
        complete = np.concatenate(collected)
        collected.clear()
        return complete

    def _endless_queries(self, session: TensorRTSession, images: Images) -> Generator[Query, None, None]:
        slots, batch = session.slots, len(images)
        with self._reserved(session):
            # What happens once per batch size, such as compiling kernels and capturing graphs, may take longer than a
            # warm-up, so it is over before the first query; trtexec, too, does it before its warm-up begins.
            for turn, slot in enumerate(slots):
                slots.put(slot, images, batch)
                slots.start(slot, batch)
                self._finished(session, turn, batch)
            slots.start(slots[0], batch)
            for turn in count(1):
                slots.start(slots[turn], batch)
                ended = self._finished(session, turn - 1, batch)
                yield slots.query(slots[turn - 1], ended)

    def _finished(self, session: TensorRTSession, turn: int, batch: int) -> float:
        """Waits for a slot, returns when it was done, and keeps kernels that were compiled for a new batch size."""
        session.slots.finish(session.slots[turn])
        ended = time.perf_counter()
        if session.rtx is not None and batch not in self._prepared:
            session.rtx.keep_kernels()
        self._prepared.add(batch)
        return ended

    def _check_query(self, images: Images) -> None:
        self._check_form(images)
        session = self._session
        smallest, largest = session.engine.input.smallest_batch, session.slots.batch
        if not smallest <= len(images) <= largest:
            raise BackendError(
                f"a query of {len(images)} images was asked for, but {session.engine.name} runs {smallest} to "
                f"{largest} here; choose a size in between, or build it with another --batch"
            )

    def _check_form(self, images: Images) -> None:
        engine = self._session.engine
        accepted = engine.input
        if images.dtype != accepted.dtype or images.shape[1:] != accepted.image_shape:
            raise BackendError(
                f"{engine.name} got images of {images.dtype} {images.shape[1:]}; expected {accepted.form} "
                f"{accepted.image_shape}; evaluate it with the model and --input that it was built with"
            )
