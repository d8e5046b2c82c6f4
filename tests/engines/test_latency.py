from __future__ import annotations

import json
import math
import statistics
import struct
from dataclasses import replace

import numpy as np
import pytest

from engines.engine_runner import Query
from engines.latency import BatchLatency, LatencyRecord, Spread, batch_latency, latency_cautions, spread_of
from engines.latency import trtexec_percentile as percentile
from export.decoding import decoded_from_json
from export.errors import ArtifactError


def single(value: float) -> float:
    """Rounds to C's float."""
    return float(struct.unpack("f", struct.pack("f", value))[0])


def index_of_trtexec(count: int, percent: float) -> int:
    """Index in ascending order by findPercentile of sampleReporting.cpp, each step rounded to float as C++ does."""
    share = single(1 - single(single(percent) / 100))
    return max(count - 1 - int(single(share * count)), 0)


# Number of values -> index of p90, p95 and p99, printed by that expression compiled with g++ 12 for x86-64.
COMPILED = {
    1: (0, 0, 0),
    2: (1, 1, 1),
    9: (8, 8, 8),
    10: (8, 9, 9),
    11: (9, 10, 10),
    20: (17, 18, 19),
    99: (89, 94, 98),
    100: (89, 94, 99),
    101: (90, 95, 99),
    1000: (899, 949, 990),
    6000: (5399, 5699, 5940),
}


@pytest.mark.parametrize(("count", "indices"), COMPILED.items())
def test_percentiles_are_those_of_the_compiled_trtexec(count: int, indices: tuple[int, int, int]) -> None:
    shuffled = np.random.default_rng(count).permutation(count).tolist()
    assert tuple(percentile(shuffled, percent) for percent in (90, 95, 99)) == indices
    assert tuple(index_of_trtexec(count, percent) for percent in (90, 95, 99)) == indices


def test_percentiles_follow_trtexec_at_every_count() -> None:
    for count in range(1, 700):
        values = list(range(count))
        for percent in (0, 25, 50, 90, 95, 99, 99.9, 100):
            assert percentile(values, percent) == index_of_trtexec(count, percent), (count, percent)


def test_a_percentile_is_within_one_rank_of_the_inverted_distribution() -> None:
    values = np.random.default_rng(0).gamma(2.0, 1.0, 997)
    ranks = np.argsort(np.argsort(values))
    for percent in (50, 90, 95, 99):
        ours = int(ranks[values == percentile(values.tolist(), percent)][0])
        reference = int(ranks[values == np.percentile(values, percent, method="inverted_cdf")][0])
        assert abs(ours - reference) <= 1


@pytest.mark.parametrize(("values", "percent"), [([], 50), ([1.0], -1), ([1.0], 100.5)])
def test_a_percentile_of_nothing_or_out_of_range_is_an_error(values: list[float], percent: float) -> None:
    with pytest.raises(ValueError, match="percentile"):
        percentile(values, percent)


@pytest.mark.parametrize("count", [1, 2, 9, 10, 500])
def test_a_spread_agrees_with_the_statistics_module(count: int) -> None:
    values = np.random.default_rng(count).gamma(3.0, 2.0, count).tolist()
    spread = spread_of(values)
    assert (spread.minimum, spread.maximum) == (min(values), max(values))
    assert spread.mean == pytest.approx(statistics.fmean(values), rel=1e-12)
    assert spread.median == pytest.approx(statistics.median(values), rel=1e-12)
    assert spread.variation == pytest.approx(statistics.pstdev(values) / statistics.fmean(values), rel=1e-9)
    ordered = sorted(values)
    expected = [ordered[index_of_trtexec(count, percent)] for percent in (90, 95, 99)]
    assert [spread.p90, spread.p95, spread.p99] == expected


def test_times_of_zero_do_not_vary_and_nothing_has_no_spread() -> None:
    assert spread_of([0.0, 0.0]) == Spread(0, 0, 0, 0, 0, 0, 0, 0)
    with pytest.raises(ValueError, match="no values"):
        spread_of([])


def gpu_queries(count: int = 20, compute_ms: float = 2.0) -> list[Query]:
    """Queries that overlap, as with two slots in flight: one starts every 2.5 ms and takes 4 ms."""
    return [
        Query(
            started=10 + 0.0025 * index,
            ended=10.004 + 0.0025 * index,
            compute_ms=compute_ms + 0.01 * (index % 3),
            to_device_ms=0.5 + 0.001 * index,
            to_host_ms=0.02,
            enqueue_ms=0.1,
        )
        for index in range(count)
    ]


def test_throughput_counts_images_over_the_wall_time_of_overlapping_queries() -> None:
    measured = batch_latency(8, gpu_queries(20))
    assert measured.seconds == pytest.approx(19 * 0.0025 + 0.004)
    assert measured.images_per_second == pytest.approx(20 * 8 / (19 * 0.0025 + 0.004))
    assert (measured.batch, measured.queries) == (8, 20)


def test_latency_is_the_sum_of_both_copies_and_the_compute_of_each_query() -> None:
    queries = gpu_queries(21)
    measured = batch_latency(8, queries)
    sums = [query.compute_ms + (query.to_device_ms or 0) + (query.to_host_ms or 0) for query in queries]
    assert measured.latency.median == pytest.approx(statistics.median(sums))
    assert measured.latency.maximum == pytest.approx(max(sums))
    # The median of a sum is not the sum of medians.
    assert measured.to_device is not None
    assert measured.to_device.median == pytest.approx(0.51)
    assert measured.to_host == spread_of([0.02] * 21)
    assert measured.enqueue == spread_of([0.1] * 21)
    assert measured.compute.median == pytest.approx(2.01)


def test_on_a_cpu_nothing_is_copied_and_nothing_enqueued() -> None:
    measured = batch_latency(2, [Query(index, index + 0.5, 500.0 + index) for index in range(3)])
    assert (measured.to_device, measured.to_host, measured.enqueue) == (None, None, None)
    assert measured.latency == measured.compute == spread_of([500.0, 501.0, 502.0])
    assert measured.images_per_second == pytest.approx(3 * 2 / 2.5)


@pytest.mark.parametrize("queries", [[], [Query(1.0, 1.0, 0.0)], [Query(2.0, 1.0, 1.0)]])
def test_no_queries_and_no_time_are_errors(queries: list[Query]) -> None:
    with pytest.raises(ValueError, match="queries"):
        batch_latency(1, queries)


@pytest.mark.parametrize(("deviation", "is_unstable"), [(0.024, False), (0.026, True)])
def test_a_compute_time_is_unstable_above_a_variation_of_two_and_a_half_percent(
    deviation: float, is_unstable: bool
) -> None:
    # Half the values at each of mean +- deviation have that very standard deviation.
    queries = [Query(index, index + 1, 100 * (1 + deviation * (-1) ** index)) for index in range(10)]
    measured = batch_latency(4, queries)
    assert measured.compute.variation == pytest.approx(deviation)
    assert measured.is_unstable is is_unstable
    assert [("at batch 4" in text and "2.5%" in text) for text in latency_cautions(measured)] == [True] * is_unstable


@pytest.mark.parametrize(("enqueue_ms", "is_bound"), [(0.79, False), (0.81, True)])
def test_a_throughput_is_enqueue_bound_above_four_fifths_of_the_compute(enqueue_ms: float, is_bound: bool) -> None:
    queries = [replace(query, compute_ms=1.0, enqueue_ms=enqueue_ms) for query in gpu_queries()]
    measured = batch_latency(8, queries)
    assert measured.is_enqueue_bound is is_bound
    assert ["handing over" in text for text in latency_cautions(measured)] == [True] * is_bound


@pytest.mark.parametrize(
    ("to_device_ms", "to_host_ms", "is_bound"), [(0.99, 0.99, False), (1.0, 0.1, True), (0.1, 1.0, True)]
)
def test_a_throughput_is_copy_bound_from_the_compute_time_on(
    to_device_ms: float, to_host_ms: float, is_bound: bool
) -> None:
    queries = [
        replace(query, compute_ms=1.0, to_device_ms=to_device_ms, to_host_ms=to_host_ms) for query in gpu_queries()
    ]
    measured = batch_latency(8, queries)
    assert measured.is_copy_bound is is_bound
    assert ["a copy takes" in text for text in latency_cautions(measured)] == [True] * is_bound


def record(*batches: BatchLatency) -> LatencyRecord:
    return LatencyRecord("tensorrt 10.13.0", "NVIDIA L4", {"CUDA graph": "yes"}, 812.5, 40.0, 3.5, 1 << 28, batches, ())


def test_a_record_survives_json() -> None:
    bare = batch_latency(1, [Query(index, index + 0.5, 500.0) for index in range(3)])
    whole = record(batch_latency(8, gpu_queries()), bare)
    whole = replace(whole, warnings=("one", "two"))
    assert decoded_from_json(LatencyRecord, json.loads(json.dumps(whole.to_dict()))) == whole
    on_cpu = replace(record(bare), prepare_ms=None, memory_bytes=None)
    assert decoded_from_json(LatencyRecord, json.loads(json.dumps(on_cpu.to_dict()))) == on_cpu


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("load_ms", math.nan, "load_ms is 'nan'; expected a finite number"),
        ("load_ms", "1", "load_ms is '1'; expected float"),
        ("conditions", {"CUDA graph": True}, "conditions.CUDA graph is 'True'; expected str"),
        ("batches", [{}], r"batches\[0\]: unknown keys \[\], missing keys \['batch'"),
        ("memory_bytes", 1.5, "memory_bytes is '1.5'; expected int"),
        ("extra", 1, r"unknown keys \['extra'\]"),
    ],
)
def test_a_damaged_record_is_refused(key: str, value: object, message: str) -> None:
    plain = {**record(batch_latency(8, gpu_queries())).to_dict(), key: value}
    with pytest.raises(ArtifactError, match=message):
        decoded_from_json(LatencyRecord, plain)
