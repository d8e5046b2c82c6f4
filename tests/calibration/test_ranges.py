from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calibration.errors import CalibrationError
from calibration.histogram import BINS, Histogram, StreamingHistogram
from calibration.ranges import (
    METHODS,
    amax_from_histogram,
    entropy_range,
    expected_squared_error,
    mean_max_range,
    percentile_range,
)

DISTRIBUTIONS = ("student2", "student4", "laplace", "lognormal", "silu", "outliers")


def heavy_tailed(name: str, rng: np.random.Generator, size: int = 40_000) -> np.ndarray:
    """Draws values with tails such as activations have."""
    normal = rng.standard_normal(size)
    drawn: dict[str, np.ndarray] = {
        "student2": rng.standard_t(2, size),
        "student4": rng.standard_t(4, size),
        "laplace": rng.laplace(size=size),
        "lognormal": rng.lognormal(sigma=1.5, size=size),
        "silu": 3 * normal / (1 + np.exp(-3 * normal)),
        "outliers": np.where(rng.random(size) < 1e-4, 60 * normal, normal),
    }
    return np.asarray(drawn[name], dtype=np.float32)


def histogram_of(values: np.ndarray) -> Histogram:
    streaming = StreamingHistogram()
    streaming.update(values)
    return streaming.snapshot()


def measured_error(values: np.ndarray, amax: float) -> float:
    """Quantizes the values themselves and measures the mean squared error."""
    scale = amax / 127
    return float(np.mean((values - np.clip(np.round(values / scale), -127, 127) * scale) ** 2, dtype=np.float64))


@pytest.mark.parametrize("name", DISTRIBUTIONS)
@pytest.mark.parametrize("seed", range(3))
def test_mse_beats_or_equals_every_other_method(name: str, seed: int) -> None:
    values = heavy_tailed(name, np.random.default_rng(seed))
    histogram = histogram_of(values)
    errors = {method: measured_error(values, amax_from_histogram(histogram, method)) for method in METHODS}
    assert errors["mse"] <= 1.01 * min(errors.values())


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_mse_beats_a_brute_force_search_over_the_values(name: str) -> None:
    values = heavy_tailed(name, np.random.default_rng(7), 20_000)
    best = min(measured_error(values, amax) for amax in np.abs(values).max() * np.linspace(0.02, 1, 200))
    assert measured_error(values, amax_from_histogram(histogram_of(values), "mse")) <= 1.01 * best


@pytest.mark.parametrize("name", DISTRIBUTIONS)
@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 1.0])
def test_expected_error_is_the_measured_one(name: str, share: float) -> None:
    """Also where a quantization level is narrower than a bin, at a hundredth of the range."""
    values = heavy_tailed(name, np.random.default_rng(1))
    amax = share * float(np.abs(values).max())
    expected = expected_squared_error(histogram_of(values), np.array([amax]))[0]
    assert expected == pytest.approx(measured_error(values, amax), rel=0.02)


@pytest.mark.parametrize("percentile", [50, 90, 99, 99.9, 99.99, 100])
def test_percentile_agrees_with_numpy(percentile: float) -> None:
    values = heavy_tailed("laplace", np.random.default_rng(2))
    histogram = histogram_of(values)
    expected = np.percentile(np.abs(values), percentile)
    # In the far tail, neighbouring values lie further apart than the bins are wide.
    neighbours = np.percentile(np.abs(values), [percentile - 0.01, min(percentile + 0.01, 100)])
    tolerance = histogram.width + np.ptp(neighbours)
    assert percentile_range(histogram, percentile) == pytest.approx(expected, abs=tolerance)


@given(st.lists(st.floats(0.01, 100), min_size=2, max_size=8), st.integers(0, 5))
@settings(max_examples=40)
def test_percentile_never_falls(percentiles: list[float], seed: int) -> None:
    histogram = histogram_of(heavy_tailed("outliers", np.random.default_rng(seed), 2_000))
    ranges = [percentile_range(histogram, p) for p in sorted(percentiles)]
    assert ranges == sorted(ranges)
    assert ranges[-1] <= histogram.largest_magnitude


@given(st.integers(1, 9), st.integers(0, 1000))
def test_mean_max_is_that_of_numpy_and_does_not_depend_on_the_order(count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    images = [rng.standard_t(2, rng.integers(1, 30)).astype(np.float32) for _ in range(count)]
    found = []
    for ordered in (images, images[::-1]):
        streaming = StreamingHistogram()
        for image in ordered:
            streaming.update(image)
        found.append(mean_max_range(streaming.snapshot()))
    assert found[0] == found[1] == pytest.approx(np.mean([np.abs(image).max() for image in images]), rel=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_ranges_do_not_depend_on_the_order_of_the_images(method: str) -> None:
    rng = np.random.default_rng(5)
    images = [heavy_tailed(name, rng, 3_000) * rng.uniform(0.1, 10) for name in DISTRIBUTIONS]
    found = set()
    for order in (range(6), reversed(range(6)), rng.permutation(6)):
        streaming = StreamingHistogram()
        for index in order:
            streaming.update(images[index].astype(np.float32))
        found.add(amax_from_histogram(streaming.snapshot(), method))  # type: ignore[arg-type]
    assert len(found) == 1


def test_mean_max_of_a_histogram_without_images_clips_nothing() -> None:
    histogram = histogram_of(np.array([1, -2], np.float32))
    without = Histogram(histogram.counts, histogram.limit, histogram.minimum, histogram.maximum)
    assert mean_max_range(without) == 2


def divergence_step_by_step(counts: list[int], size: int) -> float:
    """KL divergence of one candidate, bin by bin as the TensorRT slides tell it."""
    reference = [float(count) for count in counts[:size]]
    reference[-1] += sum(counts[size:])
    quantized = [0.0] * size
    for level in range(128):
        members = list(range(level * size // 128, (level + 1) * size // 128))
        occupied = [i for i in members if counts[i] > 0]
        for i in occupied:
            quantized[i] = sum(counts[j] for j in members) / len(occupied)
    total_p, total_q = sum(reference), sum(quantized)
    divergence = 0.0
    for p, q in zip(reference, quantized, strict=True):
        if p > 0 and q == 0:
            return float("inf")
        if p > 0:
            divergence += p / total_p * np.log((p / total_p) / (q / total_q))
    return divergence


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_entropy_agrees_with_a_plain_implementation(name: str) -> None:
    values = heavy_tailed(name, np.random.default_rng(3))
    histogram = histogram_of(values)
    counts = histogram.counts.tolist()
    occupied = histogram.largest_magnitude / histogram.width
    # The candidates that clip, and the first that does not.
    sizes = [size for size in range(128, BINS + 1, 8) if size - 8 < occupied]
    best = min(sizes, key=lambda size: divergence_step_by_step(counts, size))
    assert entropy_range(histogram) == pytest.approx(min(best * histogram.width, histogram.largest_magnitude))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_ranges_scale_with_the_values(method: str, name: str) -> None:
    values = heavy_tailed(name, np.random.default_rng(4), 5_000)
    amax = amax_from_histogram(histogram_of(values), method)  # type: ignore[arg-type]
    assert 0 < amax <= np.abs(values).max()
    assert amax_from_histogram(histogram_of(values * 8), method) == pytest.approx(8 * amax)  # type: ignore[arg-type]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("values", [[0.0, 0.0], [0.5], [-3.0], [0.0, 1e-20], [1.0] * 999 + [1e6]])
def test_degenerate_tensors_have_a_range(method: str, values: list[float]) -> None:
    array = np.array(values, np.float32)
    amax = amax_from_histogram(histogram_of(array), method)  # type: ignore[arg-type]
    assert 0 <= amax <= np.abs(array).max()


def test_unknown_method_is_named() -> None:
    with pytest.raises(CalibrationError, match=r"'magic'.*mse, percentile, mean-max, entropy, minmax"):
        amax_from_histogram(histogram_of(np.ones(1, np.float32)), "magic")  # type: ignore[arg-type]


@pytest.mark.parametrize("percentile", [0, -1, 100.1])
def test_percentile_out_of_range_is_refused(percentile: float) -> None:
    with pytest.raises(CalibrationError, match="expected 0 < percentile"):
        percentile_range(histogram_of(np.ones(1, np.float32)), percentile)
