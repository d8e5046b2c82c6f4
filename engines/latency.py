"""Latency and throughput as trtexec defines them.

Source: `samples/common/sampleReporting.cpp` of NVIDIA/TensorRT.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engines.engine_runner import Query

# trtexec calls the GPU compute time unstable above this coefficient of variation ...
UNSTABLE_VARIATION = 0.025
# ... and a throughput bound by the host if handing over the work takes more than this share of it.
ENQUEUE_BOUND_SHARE = 0.8


@dataclass(frozen=True)
class Spread:
    """Times of many queries, in ms.

    Attributes:
        minimum: Smallest.
        mean: Arithmetic mean.
        median: Middle one, or mean of the middle two.
        p90: 90th percentile as trtexec takes it.
        p95: 95th.
        p99: 99th.
        maximum: Largest.
        variation: Coefficient of variation: standard deviation (that of a population) over mean.
    """

    minimum: float
    mean: float
    median: float
    p90: float
    p95: float
    p99: float
    maximum: float
    variation: float


@dataclass(frozen=True)
class BatchLatency:
    """What was measured at one batch size.

    Attributes:
        batch: Images per query.
        queries: Queries after the warm-up.
        latency: Copy to the device + compute + copy to the host.
        compute: Time of the network.
        to_device: Copy of the input; None where nothing is copied.
        to_host: Copy of the output; None likewise.
        enqueue: Host time of handing over the work; None on a CPU.
        seconds: From the start of the first query after the warm-up to the end of the last.
        images_per_second: Throughput with queries back to back.
    """

    batch: int
    queries: int
    latency: Spread
    compute: Spread
    to_device: Spread | None
    to_host: Spread | None
    enqueue: Spread | None
    seconds: float
    images_per_second: float

    @property
    def is_unstable(self) -> bool:
        """Whether trtexec would call the compute time unstable."""
        return self.compute.variation > UNSTABLE_VARIATION

    @property
    def is_enqueue_bound(self) -> bool:
        """Whether trtexec would say that the host may bound the throughput."""
        return self.enqueue is not None and self.enqueue.median > ENQUEUE_BOUND_SHARE * self.compute.median

    @property
    def is_copy_bound(self) -> bool:
        """Whether trtexec would say that one of the copies may bound the throughput."""
        copies = (self.to_device, self.to_host)
        return any(copy is not None and copy.median >= self.compute.median for copy in copies)


@dataclass(frozen=True)
class LatencyRecord:
    """Everything that was measured of one engine on one device.

    Attributes:
        backend: What ran it, such as `tensorrt 10.13.0`.
        device: Such as `NVIDIA H200` or `CPU`.
        conditions: What holds for the figures: CUDA graphs, copies, clocks, number of threads.
        load_ms: See `engines.engine_runner.ColdStart`.
        prepare_ms: Likewise.
        first_inference_ms: Likewise.
        memory_bytes: Likewise.
        batches: One entry per batch size.
        warnings: Such as a coefficient of variation above 2.5 %; one sentence each.
    """

    backend: str
    device: str
    conditions: dict[str, str]
    load_ms: float
    prepare_ms: float | None
    first_inference_ms: float
    memory_bytes: int | None
    batches: tuple[BatchLatency, ...]
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Returns the JSON object of this record."""
        return asdict(self)


def trtexec_percentile(values: Sequence[float], percent: float) -> float:
    """Returns the value that trtexec reports as a percentile: always one of `values`, never between two.

    trtexec leaves out the largest `(1 - percent / 100) * n` of n values, in single precision. That decides: of 10
    values, p90 is the 9th, where double precision would leave out none and return the 10th.

    Args:
        values: Times, in any order.
        percent: 0 to 100.

    Raises:
        ValueError: There are no values, or `percent` is out of range.
    """
    if not values:
        raise ValueError("a percentile of no values")
    if not 0 <= percent <= 100:
        raise ValueError(f"percentile {percent:g}; expected 0 to 100")
    count = len(values)
    left_out = int((np.float32(1) - np.float32(percent) / np.float32(100)) * np.float32(count))
    return float(sorted(values)[max(count - 1 - left_out, 0)])


def spread_of(values: Sequence[float]) -> Spread:
    """Sums up times in ms.

    Raises:
        ValueError: There are no values.
    """
    if not values:
        raise ValueError("the spread of no values")
    times = np.sort(np.asarray(values, np.float64))
    mean = float(times.mean())
    return Spread(
        minimum=float(times[0]),
        mean=mean,
        median=float(np.median(times)),
        p90=trtexec_percentile(values, 90),
        p95=trtexec_percentile(values, 95),
        p99=trtexec_percentile(values, 99),
        maximum=float(times[-1]),
        # Copies of a few bytes may take less than a CUDA event can tell; times of zero do not vary.
        variation=float(times.std()) / mean if mean else 0.0,
    )


def batch_latency(batch: int, queries: Sequence[Query]) -> BatchLatency:
    """Sums up the queries after the warm-up.

    Args:
        batch: Images per query.
        queries: In the order in which they started.

    Raises:
        ValueError: There are no queries, or they took no time.
    """
    if not queries:
        raise ValueError("the latency of no queries")
    seconds = queries[-1].ended - queries[0].started
    if seconds <= 0:
        raise ValueError(f"{len(queries)} queries took {seconds:g} s; expected their start before their end")
    return BatchLatency(
        batch=batch,
        queries=len(queries),
        latency=spread_of([query.latency_ms for query in queries]),
        compute=spread_of([query.compute_ms for query in queries]),
        to_device=_spread_if_timed([query.to_device_ms for query in queries]),
        to_host=_spread_if_timed([query.to_host_ms for query in queries]),
        enqueue=_spread_if_timed([query.enqueue_ms for query in queries]),
        seconds=seconds,
        images_per_second=len(queries) * batch / seconds,
    )


def latency_cautions(measured: BatchLatency) -> tuple[str, ...]:
    """Returns what trtexec would warn of, one sentence each, without figures that differ from engine to engine."""
    sentences = []
    if measured.is_unstable:
        sentences.append(
            f"at batch {measured.batch}, the compute time varies by more than {100 * UNSTABLE_VARIATION:g}% "
            "(coefficient of variation); measure on an idle device whose clocks are locked"
        )
    if measured.is_enqueue_bound:
        sentences.append(
            f"at batch {measured.batch}, handing over the work takes more than {ENQUEUE_BOUND_SHARE:g} of the compute "
            "time, so the host may bound the throughput; CUDA graphs shorten it"
        )
    if measured.is_copy_bound:
        sentences.append(
            f"at batch {measured.batch}, a copy takes as long as the compute, so copies may bound the throughput"
        )
    return tuple(sentences)


def _spread_if_timed(values: Sequence[float | None]) -> Spread | None:
    timed = [value for value in values if value is not None]
    return spread_of(timed) if timed else None
