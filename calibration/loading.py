"""Batches of network inputs, decoded by threads ahead of the consumer in bounded memory."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from export.errors import ImageError
from export.preprocessing import array_from_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from calibration.samples import Sample
    from export.contract import InputContract


@dataclass(frozen=True)
class Batch:
    """Consecutive samples and their inputs, float32 of shape (N, 3, size, size)."""

    samples: tuple[Sample, ...]
    images: NDArray[np.float32]


class BatchReader:
    """Iterates over samples in order; decoding overlaps with whatever the consumer does.

    At most two batches are decoded ahead, so memory does not grow with the number of samples.

    Attributes:
        unreadable: The samples left out so far; stays empty unless `skip_unreadable` is set.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        contract: InputContract,
        batch_size: int,
        workers: int = 2,
        skip_unreadable: bool = False,
    ) -> None:
        self._samples = samples
        self._contract = contract
        self._batch_size = batch_size
        self._workers = workers
        self._skip_unreadable = skip_unreadable
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
        images: list[NDArray[np.float32]] = []
        for sample, image in self._decoded():
            samples.append(sample)
            images.append(image)
            if len(images) == self._batch_size:
                yield Batch(tuple(samples), np.stack(images))
                samples, images = [], []
        if images:
            yield Batch(tuple(samples), np.stack(images))

    def _decoded(self) -> Iterator[tuple[Sample, NDArray[np.float32]]]:
        remaining = iter(self._samples)
        pending: deque[tuple[Sample, Future[NDArray[np.float32]]]] = deque()
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

    def _submit(self, pool: ThreadPoolExecutor, sample: Sample) -> Future[NDArray[np.float32]]:
        return pool.submit(array_from_file, sample.path, self._contract)

    def _result(self, sample: Sample, future: Future[NDArray[np.float32]]) -> NDArray[np.float32] | None:
        try:
            return future.result()
        except ImageError:
            if not self._skip_unreadable:
                raise
            self.unreadable.append(sample)
            return None
