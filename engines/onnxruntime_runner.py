"""Runs a graph with ONNX Runtime and tells how long it takes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from engines.engine_runner import ColdStart, Query
from export.contract import INPUT_NAME, OUTPUT_NAME
from export.runners import session_from_model

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from types import TracebackType

    from numpy.typing import NDArray
    from typing_extensions import Self

    from engines.engine_runner import RunOptions
    from export.runner import Images


class OnnxEngineRunner:
    """Runs an ONNX file on the CPU; the session lives inside the `with` block."""

    notes: tuple[str, ...] = ()

    def __init__(self, engine: Path, options: RunOptions) -> None:
        self._engine = engine
        self._options = options
        self._session: Any = None
        self._load_ms = 0.0

    def __enter__(self) -> Self:
        started = time.perf_counter()
        self._session = session_from_model(self._engine)
        self._load_ms = 1000 * (time.perf_counter() - started)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._session = None

    @property
    def largest_batch(self) -> int:
        """What was asked for: a session has no buffers of its own."""
        return self._options.batch_size

    @property
    def conditions(self) -> dict[str, str]:
        """Names the provider."""
        return {"provider": "CPUExecutionProvider"}

    def infer(self, images: Images) -> NDArray[np.float32]:
        """Returns fake logits (N,)."""
        if self._session is None:
            raise RuntimeError("OnnxEngineRunner.infer was called outside its 'with' block")
        logits = self._session.run([OUTPUT_NAME], {INPUT_NAME: images})[0]
        return np.asarray(logits, dtype=np.float32).reshape(-1)

    def infer_each(self, batches: Iterable[Images]) -> Iterator[NDArray[np.float32]]:
        """Yields the logits of each batch."""
        return map(self.infer, batches)

    def queries(self, images: Images) -> Iterator[Query]:
        """Times the call of ONNX Runtime, which copies nothing on a CPU."""
        while True:
            started = time.perf_counter()
            self.infer(images)
            ended = time.perf_counter()
            yield Query(started, ended, 1000 * (ended - started))

    def cold_start(self, images: Images) -> ColdStart:
        """Tells what loading took and what the first inference takes."""
        first = next(iter(self.queries(images)))
        return ColdStart(self._load_ms, None, first.compute_ms, None)
