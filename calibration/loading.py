"""Batches of network inputs, decoded by threads ahead of the consumer in bounded memory."""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, cast

import numpy as np

from export.errors import ImageError
from export.preprocessing import array_from_file, pixels_from_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from calibration.samples import Sample
    from export.contract import InputContract, InputForm
    from export.runner import Images

# Decoding and resizing leave Python's lock, so that threads share the work; more than a few outrun any consumer.
_MOST_WORKERS = 8


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
    """Iterates over samples in order; decoding overlaps with whatever the consumer does.

    At most two batches are decoded ahead, so memory grows neither with the number of samples nor with the workers.

    Args:
        samples: What to read.
        contract: The network's input.
        batch_size: Images per batch; the last one may be smaller.
        workers: Threads that decode; None is one per processor, up to 8.
        skip_unreadable: Leaves images out that do not decode instead of stopping.
        form: What the consumer takes: normalized images, or pixels for a graph that normalizes by itself.

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
    ) -> None:
        self._samples = samples
        self._contract = contract
        self._batch_size = batch_size
        self._workers = workers or min(_MOST_WORKERS, os.cpu_count() or 1)
        self._skip_unreadable = skip_unreadable
        self._form = form
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
                for sample in islice(remaining, 2 * self._batch_size):
                    pending.append((sample, self._submit(pool, sample)))
                while pending:
                    sample, future = pending.popleft()
                    image = self._result(sample, future)
                    for upcoming in islice(remaining, 1):
                        pending.append((upcoming, self._submit(pool, upcoming)))
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
    return cast("Images", np.stack(images))
