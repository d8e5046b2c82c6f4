from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from calibration.errors import CalibrationError
from calibration.histogram import BINS, StreamingHistogram

batches_strategy = st.lists(
    arrays(np.float32, st.integers(0, 50), elements=st.floats(-(2.0**20), 2.0**20, width=32)), min_size=1, max_size=6
)


def streamed(batches: list[np.ndarray]) -> StreamingHistogram:
    histogram = StreamingHistogram()
    for batch in batches:
        histogram.update(batch)
    return histogram


@given(batches_strategy)
def test_equals_one_pass_over_all_the_data(batches: list[np.ndarray]) -> None:
    values = np.concatenate(batches)
    if values.size == 0:
        return
    got = streamed(batches).snapshot()
    expected, _ = np.histogram(np.abs(values.astype(np.float64)), bins=BINS, range=(0, got.limit))
    np.testing.assert_array_equal(got.counts, expected)
    assert (got.minimum, got.maximum, got.count) == (values.min(), values.max(), values.size)
    assert got.largest_magnitude == np.abs(values).max()


@given(batches_strategy, st.randoms(use_true_random=False))
def test_order_does_not_matter(batches: list[np.ndarray], shuffler: object) -> None:
    if sum(batch.size for batch in batches) == 0:
        return
    forward, backward = streamed(batches).snapshot(), streamed(batches[::-1]).snapshot()
    assert forward.limit == backward.limit
    np.testing.assert_array_equal(forward.counts, backward.counts)


@pytest.mark.parametrize("magnitude", [1e-30, 3e-7, 0.25, 1.0, 127.9, 6e4, 1e30])
def test_limit_is_the_next_power_of_two(magnitude: float) -> None:
    got = streamed([np.array([0.0, -magnitude], np.float32)]).snapshot()
    assert np.log2(got.limit) == int(np.log2(got.limit))
    assert got.limit / 2 <= np.float32(magnitude) < got.limit


def test_zeros_do_not_fix_the_scale() -> None:
    got = streamed([np.zeros(5, np.float32), np.array([3e-7], np.float32)]).snapshot()
    assert got.limit < 1e-6
    assert got.counts[0] == 5
    only_zeros = streamed([np.zeros((2, 3), np.float32)]).snapshot()
    assert only_zeros.counts[0] == only_zeros.count == 6


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(bad: float) -> None:
    with pytest.raises(CalibrationError, match="NaN or infinite"):
        StreamingHistogram().update(np.array([1, bad, 2], np.float32))


def test_nothing_counted_is_refused() -> None:
    with pytest.raises(CalibrationError, match="no values"):
        StreamingHistogram().snapshot()


def test_memory_does_not_grow_with_the_data() -> None:
    rng = np.random.default_rng(0)
    large = rng.standard_normal(4_000_000).astype(np.float32)
    tracemalloc.start()
    streamed([large])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < large.nbytes / 4
