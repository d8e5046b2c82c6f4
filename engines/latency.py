"""Latency and throughput as trtexec defines them."""

from __future__ import annotations

from dataclasses import dataclass


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
        variation: Coefficient of variation: standard deviation over mean.
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
