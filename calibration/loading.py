"""Batches of network inputs, decoded by threads in bounded memory: ahead of the consumer, or between its batches."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, cast

import numpy as np

from calibration.freed_memory import keep_freed_memory
from export.concurrency import processors_at_hand
from export.errors import ImageError
from export.preprocessing import array_from_file, pixels_from_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from calibration.samples import Sample
    from export.contract import InputContract, InputForm
    from export.runner import Images

# Decoding and resizing leave Python's lock, so that threads share the work; more than a few outrun any consumer.
_MOST_WORKERS = 8
# Fewest images that are decoded ahead: so many that all workers have something to do, so few that they fit anywhere.
_AHEAD = 32


@dataclass(frozen=True)
class Batch:
    """Consecutive samples and their inputs, in the form that the reader was asked for.

    Attributes:
        samples: The samples.
        images: Normalized float32 of shape (N, 3, size, size), or uint8 pixels of shape (N, size, size, 3).
    """

    samples: tuple[Sample, ...]
    images: Images


class BatchReader:
    """Iterates over samples in order.

    Decoding overlaps with what the consumer does, two batches or 32 images ahead, and goes on whenever half of them are
    taken: a consumer on the same processors is then disturbed once per lump instead of once per image. One that splits
    short operators over every processor still loses, because each waits for the thread whose processor decodes. For
    such a one, a burst of images is decoded while it waits, one batch or 32 images, and none beside it. Either way,
    memory grows neither with the number of samples nor with the workers.

    Args:
        samples: What to read.
        contract: The network's input.
        batch_size: Images per batch; the last one may be smaller.
        workers: Threads that decode; None is one per processor, up to 8.
        skip_unreadable: Leaves images out that do not decode instead of stopping.
        form: What the consumer takes: normalized images, or pixels for a graph that normalizes by itself.
        in_bursts: Decodes only while the consumer waits.

    Attributes:
        unreadable: The samples left out so far; stays empty unless `skip_unreadable` is set.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        contract: InputContract,
        batch_size: int,
        workers: int | None = None,
        skip_unreadable: bool = False,
        form: InputForm = "float32",
        in_bursts: bool = False,
    ) -> None:
        self._samples = samples
        self._contract = contract
        self._batch_size = batch_size
        self._workers = workers or min(_MOST_WORKERS, processors_at_hand())
        self._skip_unreadable = skip_unreadable
        self._form = form
        self._in_bursts = in_bursts
        self._most_pending = max(batch_size if in_bursts else 2 * batch_size, _AHEAD)
        self._refilled_at = 0 if in_bursts else self._most_pending // 2
        self.unreadable: list[Sample] = []

    def __len__(self) -> int:
        """Number of batches if every image decodes."""
        return -(-len(self._samples) // self._batch_size)

    def __iter__(self) -> Iterator[Batch]:
        """Yields batches.

        Raises:
            ImageError: An image does not decode and `skip_unreadable` is off.
        """
        self.unreadable = []
        keep_freed_memory()
        samples: list[Sample] = []
        images: list[Images] = []
        for sample, image in self._decoded():
            samples.append(sample)
            images.append(image)
            if len(images) == self._batch_size:
                yield Batch(tuple(samples), _stacked(images))
                samples, images = [], []
        if images:
            yield Batch(tuple(samples), _stacked(images))

    def _decoded(self) -> Iterator[tuple[Sample, Images]]:
        remaining = iter(self._samples)
        pending: deque[tuple[Sample, Future[Images]]] = deque()
        with ThreadPoolExecutor(self._workers, thread_name_prefix="decode") as pool:
            try:
                while True:
                    if len(pending) <= self._refilled_at:
                        missing = islice(remaining, self._most_pending - len(pending))
                        pending.extend((sample, self._submit(pool, sample)) for sample in missing)
                    if self._in_bursts:
                        wait(future for _, future in pending)
                    if not pending:
                        return
                    sample, future = pending.popleft()
                    image = self._result(sample, future)
                    if image is not None:
                        yield sample, image
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def _submit(self, pool: ThreadPoolExecutor, sample: Sample) -> Future[Images]:
        if self._form == "uint8":
            return pool.submit(pixels_from_file, sample.path, self._contract)
        return pool.submit(array_from_file, sample.path, self._contract)

    def _result(self, sample: Sample, future: Future[Images]) -> Images | None:
        try:
            return future.result()
        except ImageError:
            if not self._skip_unreadable:
                raise
            self.unreadable.append(sample)
            return None


def _stacked(images: list[Images]) -> Images:
    return cast("Images", np.stack(images) if len(images) > 1 else images[0][np.newaxis])
