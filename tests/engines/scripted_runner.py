"""A runner whose queries take times from a script: measuring it needs neither a device nor a clock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engines.engine_runner import ColdStart, Query

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator
    from types import TracebackType

    import numpy as np
    from numpy.typing import NDArray
    from typing_extensions import Self

    from export.runner import Images


class ScriptedRunner:
    """Yields the queries of a script and keeps account of what was asked of it."""

    notes: tuple[str, ...] = ()

    def __init__(self, script: Callable[[int], Iterable[Query]], largest_batch: int = 32) -> None:
        self.script = script
        self.largest_batch = largest_batch
        self.after_cold_start = largest_batch
        self.conditions = {"CUDA graph": "yes"}
        self.calls: list[str] = []
        self.given: list[Query] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def infer(self, images: Images) -> NDArray[np.float32]:
        raise NotImplementedError

    def infer_each(self, batches: Iterable[Images]) -> Iterator[NDArray[np.float32]]:
        raise NotImplementedError

    def queries(self, images: Images) -> Generator[Query, None, None]:
        self.calls.append(f"queries {len(images)}")
        try:
            for query in self.script(len(images)):
                self.given.append(query)
                yield query
        finally:
            self.calls.append(f"closed {len(images)}")

    def cold_start(self, images: Images) -> ColdStart:
        self.calls.append(f"cold start {len(images)}")
        self.largest_batch = self.after_cold_start
        return ColdStart(812.5, 40.25, 3.5, 1 << 28)
