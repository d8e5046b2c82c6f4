"""Measures an engine: its cold start, then queries back to back at each batch size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from engines.latency import LatencyRecord, batch_latency, latency_cautions
from export.errors import BackendError
from export.progress import progress_bar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from engines.engine_runner import EngineRunner, Query
    from engines.latency import BatchLatency
    from export.runner import Images


@dataclass(frozen=True)
class LatencyConditions:
    """How long each batch size is measured; the defaults are trtexec's.

    Attributes:
        warm_up_ms: Queries that start within this time of the first are dropped.
        min_queries: Fewest queries after that.
        min_seconds: Least time from the start of the first of them to the end of the last.
    """

    warm_up_ms: float = 200.0
    min_queries: int = 10
    min_seconds: float = 3.0

    def to_text(self) -> dict[str, str]:
        """Returns them in words, for the record."""
        return {
            "warm-up": f"{self.warm_up_ms:g} ms",
            "measured": f"at least {self.min_queries} queries and {self.min_seconds:g} s",
        }


def measured_latency(
    runner: EngineRunner,
    images_of_batch: Callable[[int], Images],
    batches: Sequence[int],
    conditions: LatencyConditions,
    backend: str,
    device: str,
    label: str = "measuring latency",
) -> LatencyRecord:
    """Measures an engine at several batch sizes, the smallest first.

    Args:
        runner: Inside its `with` block and not used yet, so that the first inference is the first.
        images_of_batch: Returns that many images in the form that the engine takes; called for one size at a time.
        batches: Batch sizes, each at least 1. One that the device has no memory for is left out with a warning.
        conditions: How long to measure.
        backend: What runs it, such as `tensorrt 10.13.0`.
        device: Such as `NVIDIA H200` or `CPU`.
        label: What the progress bar says.

    Returns:
        The record; notes of the runner are among its warnings.

    Raises:
        ValueError: No batch size was given, one is below 1, or the images are not as many as asked for.
        BackendError: The device has no memory for any of the batch sizes.
    """
    sizes = sorted(set(batches))
    if not sizes or sizes[0] < 1:
        raise ValueError(f"batch sizes {list(batches)}; expected at least one, each at least 1")
    _require_room(runner, sizes)
    cold = runner.cold_start(_images(images_of_batch, sizes[0]))
    # Whether the first inference halved the batch is known only now.
    _require_room(runner, sizes)
    measured: list[BatchLatency] = []
    # The bar counts batch sizes, not queries: drawing it would keep the host from feeding the device.
    for batch in progress_bar(sizes, label, unit="batch size"):
        if batch <= runner.largest_batch:
            queries = steady_queries(runner.queries(_images(images_of_batch, batch)), conditions)
            measured.append(batch_latency(batch, queries))
    return LatencyRecord(
        backend=backend,
        device=device,
        conditions={**runner.conditions, **conditions.to_text()},
        load_ms=cold.load_ms,
        prepare_ms=cold.prepare_ms,
        first_inference_ms=cold.first_inference_ms,
        memory_bytes=cold.memory_bytes,
        batches=tuple(measured),
        warnings=_warnings(runner, sizes, measured),
    )


def steady_queries(queries: Iterator[Query], conditions: LatencyConditions) -> tuple[Query, ...]:
    """Takes queries until there are enough after the warm-up, then closes the iterator.

    Raises:
        RuntimeError: The iterator ended before that, which a runner's never does.
    """
    kept: list[Query] = []
    warm_at: float | None = None
    try:
        for query in queries:
            if warm_at is None:
                warm_at = query.started + conditions.warm_up_ms / 1000
            if query.started >= warm_at:
                kept.append(query)
            if len(kept) >= max(conditions.min_queries, 1) and query.ended - kept[0].started >= conditions.min_seconds:
                return tuple(kept)
    finally:
        # What is in flight still reads the images and writes the output.
        if close := getattr(queries, "close", None):
            close()
    raise RuntimeError(f"a runner ended after {len(kept)} queries; expected it to go on until it is closed")


def _images(images_of_batch: Callable[[int], Images], batch: int) -> Images:
    images = images_of_batch(batch)
    if len(images) != batch:
        raise ValueError(f"{len(images)} images for batch {batch}")
    return images


def _require_room(runner: EngineRunner, sizes: Sequence[int]) -> None:
    if sizes[0] > runner.largest_batch:
        raise BackendError(
            f"the smallest batch to measure is {sizes[0]}, but the device's memory holds {runner.largest_batch} "
            "images; measure a smaller batch"
        )


def _warnings(runner: EngineRunner, sizes: Sequence[int], measured: Sequence[BatchLatency]) -> tuple[str, ...]:
    left_out = [str(size) for size in sizes if size not in {entry.batch for entry in measured}]
    sentences = list(runner.notes)
    if left_out:
        sentences.append(
            f"latency at batch {', '.join(left_out)} was not measured: the device's memory holds "
            f"{runner.largest_batch} images"
        )
    return (*sentences, *(sentence for entry in measured for sentence in latency_cautions(entry)))
