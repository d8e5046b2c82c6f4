"""Range estimators: from the histogram of a tensor to the magnitude that INT8's 127 stands for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from calibration.errors import CalibrationError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from calibration.histogram import Histogram

Method = Literal["mse", "percentile", "mean-max", "entropy", "minmax"]

# What the choice per tensor may add to the largest magnitude seen: images to come exceed it in some channel or other.
Headroom = Literal["minmax+25%", "minmax+50%", "minmax+100%"]

METHODS: tuple[Method, ...] = get_args(Method)
HEADROOMS: dict[Headroom, float] = {"minmax+25%": 1.25, "minmax+50%": 1.5, "minmax+100%": 2.0}
LEVELS = 127
PERCENTILE = 99.99
_ENTROPY_LEVELS = 128
_ENTROPY_STRIDE = 8
_COARSE_CANDIDATES = 96
_FINE_CANDIDATES = 16


def amax_from_histogram(histogram: Histogram, method: Method) -> float:
    """Returns the range [-amax, amax] that a method chooses for a tensor.

    Raises:
        CalibrationError: The method is unknown.
    """
    estimators = {
        "mse": mse_range,
        "percentile": percentile_range,
        "mean-max": mean_max_range,
        "entropy": entropy_range,
        "minmax": minmax_range,
    }
    if method not in estimators:
        raise CalibrationError(f"unknown calibration method {method!r}; choose one of {', '.join(METHODS)}")
    return estimators[method](histogram)


def minmax_range(histogram: Histogram) -> float:
    """Returns the largest magnitude seen: nothing is clipped."""
    return histogram.largest_magnitude


def mean_max_range(histogram: Histogram) -> float:
    """Returns the mean over images of the largest magnitude, the default of NNCF's activation ranges."""
    return histogram.mean_largest or histogram.largest_magnitude


def percentile_range(histogram: Histogram, percentile: float = PERCENTILE) -> float:
    """Returns the magnitude that `percentile` percent of the values do not exceed.

    Values are taken as evenly spread within a bin. Percentiles of the order of 99.99 are the ones that Wu et al.,
    "Integer Quantization for Deep Learning Inference" (2020), found to serve EfficientNet.
    """
    if not 0 < percentile <= 100:
        raise CalibrationError(f"percentile {percentile} is out of range; expected 0 < percentile <= 100")
    cumulative = np.concatenate([[0], np.cumsum(histogram.counts)])
    position = np.interp(percentile / 100 * cumulative[-1], *_strictly_rising(cumulative))
    return float(min(position * histogram.width, histogram.largest_magnitude))


def mse_range(histogram: Histogram) -> float:
    """Returns the range with the least expected squared error of quantization, rounding and clipping together.

    The search is coarse on a geometric grid, then twice finer around the best candidate.
    """
    largest = histogram.largest_magnitude
    if largest == 0:
        return 0.0
    candidates = np.geomspace(largest / 512, largest, _COARSE_CANDIDATES)
    for _ in range(2):
        best = int(np.argmin(expected_squared_error(histogram, candidates)))
        low, high = candidates[max(best - 1, 0)], candidates[min(best + 1, len(candidates) - 1)]
        candidates = np.append(np.linspace(low, high, _FINE_CANDIDATES), candidates[best])
    return float(candidates[np.argmin(expected_squared_error(histogram, candidates))])


def expected_squared_error(histogram: Histogram, candidates: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns E[(x - Q(x))^2] for each candidate range, with x evenly spread within each bin.

    With t = x / scale and n = min(round(t), 127), the squared error (t - n)^2 integrates to n / 12 + (t - n)^3 / 3,
    in the clipped part as well as in the rounded one; differences at the edges of the bins give the integral over
    each bin exactly, however narrow a level is compared with a bin.
    """
    last = int(np.flatnonzero(histogram.counts)[-1]) + 1
    edges = np.arange(last + 1) * histogram.width
    scale = candidates[:, None] / LEVELS
    position = edges / scale
    level = np.minimum(np.rint(position), LEVELS)
    integral = level / 12 + (position - level) ** 3 / 3
    density = histogram.counts[:last] / (histogram.count * histogram.width)
    error: NDArray[np.float64] = (np.diff(integral, axis=1) @ density) * scale[:, 0] ** 3
    return error


def entropy_range(histogram: Histogram) -> float:
    """Returns the range whose quantized distribution diverges least from the observed one (Kullback-Leibler).

    After S. Migacz, "8-bit Inference with TensorRT" (GTC 2017): for each candidate the outliers join the last bin of
    the reference; the bins inside are merged to 128 levels and spread again over those that were occupied. Known to
    do badly on some networks with SiLU; offered because TensorRT's own calibrator works like this.
    """
    if histogram.largest_magnitude == 0:
        return 0.0
    last = int(np.flatnonzero(histogram.counts)[-1]) + 1
    sizes = np.arange(_ENTROPY_LEVELS, max(last, _ENTROPY_LEVELS) + _ENTROPY_STRIDE, _ENTROPY_STRIDE)
    sizes = np.minimum(sizes, len(histogram.counts))
    divergence = [_divergence(histogram.counts, int(size)) for size in sizes]
    # Of equally good candidates the widest clips least.
    best = len(divergence) - 1 - int(np.argmin(divergence[::-1]))
    return float(min(sizes[best] * histogram.width, histogram.largest_magnitude))


def _divergence(counts: NDArray[np.int64], size: int) -> float:
    """Returns KL(reference || quantized) for the candidate that keeps the first `size` bins."""
    inside = counts[:size].astype(np.float64)
    reference = inside.copy()
    reference[-1] += counts[size:].sum()
    starts = np.arange(_ENTROPY_LEVELS) * size // _ENTROPY_LEVELS
    occupied = inside > 0
    mass = np.add.reduceat(inside, starts)
    members = np.add.reduceat(occupied.astype(np.float64), starts)
    level = np.repeat(mass / np.maximum(members, 1), np.diff(np.append(starts, size)))
    quantized = np.where(occupied, level, 0)
    present = reference > 0
    if not np.all(quantized[present] > 0):
        return np.inf
    p, q = reference[present] / reference.sum(), quantized[present] / quantized.sum()
    return float(np.sum(p * np.log(p / q)))


def _strictly_rising(cumulative: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Drops the upper edges of empty bins, so that the inverse of the cumulative count is the lowest one."""
    rising = np.append(True, np.diff(cumulative) > 0)
    return cumulative[rising], np.flatnonzero(rising)
