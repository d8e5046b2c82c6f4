"""The reference record with times of a GPU and of a CPU; invented, but as a device would give them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from engines.engine_runner import Query
from engines.latency import LatencyRecord, batch_latency, latency_cautions
from tests.evaluate.reference import reference_record

if TYPE_CHECKING:
    from engines.latency import BatchLatency
    from evaluate.record import ReportRecord, VariantResult

GPU_CONDITIONS = {"CUDA graph": "yes", "warm-up": "200 ms", "measured": "at least 10 queries and 3 s"}
CPU_CONDITIONS = {"provider": "CPUExecutionProvider", "threads": "2", **dict(list(GPU_CONDITIONS.items())[1:])}

# Compute time in ms at batch 1 and what each further image adds, by name; q16-p50 was not measured on the GPU.
GPU_TIMES = {
    "baseline": (6.2, 2.4),
    "q16": (3.1, 1.05),
    "q32-p50": (6.3, 2.4),
    "q8": (2.4, 0.72),
    "q8-p50": (2.38, 0.73),
}
CPU_TIMES = {"baseline": (311.0, 280.0), "q16": (420.0, 381.0), "q8": (905.0, 871.0)}
UNSTABLE = "q8"
HOST_BOUND = "q8-p50"


def gpu_latency(name: str, batches: tuple[int, ...] = (1, 8, 32)) -> LatencyRecord:
    measured = tuple(_gpu_batch(name, batch) for batch in batches)
    return LatencyRecord(
        backend="tensorrt 10.13.0",
        device="NVIDIA L4",
        conditions=GPU_CONDITIONS,
        load_ms=412.3,
        prepare_ms=38.25,
        first_inference_ms=21.5,
        memory_bytes=(300 << 20) + (1 << 19),
        batches=measured,
        warnings=tuple(sentence for entry in measured for sentence in latency_cautions(entry)),
    )


def cpu_latency(name: str) -> LatencyRecord:
    first, further = CPU_TIMES[name]
    measured = []
    for batch in (1, 8):
        took = first + further * (batch - 1)
        queries = [Query(took * index / 1000, took * (index + 1) / 1000, took + _jitter(index)) for index in range(10)]
        measured.append(batch_latency(batch, queries))
    return LatencyRecord("onnxruntime 1.22.0", "CPU", CPU_CONDITIONS, 512.0, None, 330.0, None, tuple(measured), ())


def latency_reference_record(cpu: bool = True) -> ReportRecord:
    record = reference_record(simulated=False)
    return replace(record, variants=tuple(_measured(variant, cpu) for variant in record.variants))


def with_latency(record: ReportRecord, **latencies: tuple[LatencyRecord, ...]) -> ReportRecord:
    """Returns the record with these latencies, by the name of the variant, and no others."""
    return replace(
        record, variants=tuple(replace(variant, latency=latencies.get(variant.name, ())) for variant in record.variants)
    )


def _measured(variant: VariantResult, cpu: bool) -> VariantResult:
    gpu = (gpu_latency(variant.name),) if variant.name in GPU_TIMES else ()
    on_cpu = (cpu_latency(variant.name),) if cpu and variant.name in CPU_TIMES else ()
    return replace(variant, latency=(*gpu, *on_cpu))


def _gpu_batch(name: str, batch: int) -> BatchLatency:
    first, further = GPU_TIMES[name]
    compute = first + further * (batch - 1)
    noise = 0.012 * compute if name == UNSTABLE and batch == 1 else 0.001 * compute
    enqueue = 0.9 * compute if name == HOST_BOUND and batch == 1 else 0.11
    step = (compute + 0.05) / 1000
    queries = [
        Query(
            started=step * index,
            ended=step * (index + 2),
            compute_ms=compute + noise * _jitter(index),
            to_device_ms=0.17 * batch + 0.001 * _jitter(index + 1),
            to_host_ms=0.004,
            enqueue_ms=enqueue,
        )
        for index in range(max(10, int(3 / step)))
    ]
    return batch_latency(batch, queries)


def _jitter(index: int) -> float:
    """Returns -4 to 4, without order and the same on every machine."""
    return (index * 7 % 9) - 4.0
