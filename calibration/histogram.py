"""Histogram of |x| over any number of values in constant memory, exact and independent of the order of arrival."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from calibration.errors import CalibrationError

if TYPE_CHECKING:
    from numpy.typing import NDArray

BINS = 2048
_SMALLEST_EXPONENT = -100
_CHUNK = 1 << 16


@dataclass(frozen=True)
class Histogram:
    """Magnitudes of a tensor's values.

    Attributes:
        counts: int64 (BINS,); bin i counts the values with i * width <= |x| < (i + 1) * width.
        limit: Upper end of the last bin, a power of two.
        minimum: Smallest value, with its sign.
        maximum: Largest value, with its sign.
        mean_largest: Mean over images of the largest |x|; 0 where that was not recorded.
    """

    counts: NDArray[np.int64]
    limit: float
    minimum: float
    maximum: float
    mean_largest: float = 0.0

    @property
    def count(self) -> int:
        """Number of values."""
        return int(self.counts.sum())

    @property
    def width(self) -> float:
        """Width of a bin."""
        return self.limit / len(self.counts)

    @property
    def largest_magnitude(self) -> float:
        """The largest |x|."""
        return max(abs(self.minimum), abs(self.maximum))


class StreamingHistogram:
    """Counts values batch by batch.

    The upper limit is the smallest power of two above every |x| seen. When it must grow, pairs of bins merge, which
    is exact because bins of width 2^k nest. The result is therefore the histogram that one pass over all the data
    would give, whatever the batches.
    """

    def __init__(self, bins: int = BINS) -> None:
        self._counts = np.zeros(bins, dtype=np.int64)
        self._exponent: int | None = None
        self._minimum = np.inf
        self._maximum = -np.inf
        self._largest: list[float] = []

    def update(self, values: NDArray[np.float32]) -> None:
        """Counts the values of one image's tensor, of any shape.

        Raises:
            CalibrationError: A value is NaN or infinite.
        """
        if values.size == 0:
            return
        low, high = float(values.min()), float(values.max())
        if not (np.isfinite(low) and np.isfinite(high)):
            raise CalibrationError("a value is NaN or infinite; the model fails on this image even in FP32")
        self._minimum, self._maximum = min(self._minimum, low), max(self._maximum, high)
        self._largest.append(max(abs(low), abs(high)))
        self._widen(self._largest[-1])
        # Below the first nonzero value the scale does not matter: zero is in bin 0 of any range.
        scale = np.float32(0 if self._exponent is None else len(self._counts) * 2.0**-self._exponent)
        flat = values.reshape(-1)
        for start in range(0, flat.size, _CHUNK):
            magnitude = np.abs(flat[start : start + _CHUNK])
            magnitude *= scale
            self._counts += np.bincount(magnitude.astype(np.intp), minlength=len(self._counts))

    def snapshot(self) -> Histogram:
        """Returns what was counted so far.

        Raises:
            CalibrationError: Nothing was counted.
        """
        if not np.isfinite(self._minimum):
            raise CalibrationError("no values were counted; calibration needs at least one readable image")
        limit = 2.0 ** (_SMALLEST_EXPONENT if self._exponent is None else self._exponent)
        # fsum is exact, so that the mean does not depend on the order of the images either.
        mean_largest = math.fsum(self._largest) / len(self._largest)
        return Histogram(self._counts.copy(), limit, self._minimum, self._maximum, mean_largest)

    def _widen(self, magnitude: float) -> None:
        if magnitude == 0:
            return
        # frexp gives magnitude = mantissa * 2^exponent with mantissa < 1, so that 2^exponent lies strictly above.
        exponent = max(int(np.frexp(magnitude)[1]), _SMALLEST_EXPONENT)
        if self._exponent is None:
            self._exponent = exponent
        while self._exponent < exponent:
            merged = self._counts.reshape(-1, 2).sum(axis=1)
            self._counts[: len(merged)] = merged
            self._counts[len(merged) :] = 0
            self._exponent += 1
