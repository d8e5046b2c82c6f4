from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from evaluate.latency_comparison import (
    fastest_stable,
    latency_settings,
    latency_warnings,
    main_setting,
    plotted_settings,
    rows_at,
    undominated,
)
from tests.evaluate.latency_reference import (
    CPU_TIMES,
    GPU_CONDITIONS,
    GPU_TIMES,
    cpu_latency,
    gpu_latency,
    latency_reference_record,
    with_latency,
)
from tests.evaluate.reference import reference_record

if TYPE_CHECKING:
    from evaluate.latency_comparison import LatencyRow
    from evaluate.record import ReportRecord


def names(rows: tuple[LatencyRow, ...]) -> list[str]:
    return [row.variant.name for row in rows]


def with_aucs(record: ReportRecord, **aucs: float) -> ReportRecord:
    variants = tuple(replace(variant, auc=aucs.get(variant.name, variant.auc)) for variant in record.variants)
    return replace(record, variants=variants)


def test_what_was_measured_alike_is_one_setting() -> None:
    gpu, cpu = latency_settings(latency_reference_record())
    assert (gpu.title, cpu.title) == ("tensorrt 10.13.0 on NVIDIA L4", "onnxruntime 1.22.0 on CPU")
    assert [variant.name for variant, _ in gpu.entries] == list(GPU_TIMES)
    assert [variant.name for variant, _ in cpu.entries] == list(CPU_TIMES)
    assert (gpu.is_on_cpu, cpu.is_on_cpu) == (False, True)
    assert (gpu.batches, cpu.batches) == ((1, 8, 32), (1, 8))
    assert latency_settings(reference_record()) == ()


def test_speed_up_is_the_ratio_of_median_latencies_at_the_same_batch() -> None:
    setting = latency_settings(latency_reference_record())[0]
    for batch in (1, 8, 32):
        rows = {row.variant.name: row for row in rows_at(setting, batch)}
        copies = 0.17 * batch + 0.004
        times = {name: first + further * (batch - 1) + copies for name, (first, further) in GPU_TIMES.items()}
        for name, row in rows.items():
            assert row.speed_up == pytest.approx(times["baseline"] / times[name], rel=2e-3)
        assert rows["baseline"].speed_up == 1.0


@pytest.mark.parametrize(
    "changes",
    [
        {"backend": "tensorrt 10.9.0"},
        {"device": "NVIDIA H200"},
        {"conditions": {**GPU_CONDITIONS, "CUDA graph": "no"}},
        {"batches": gpu_latency("baseline", (4,)).batches},
        {"batches": ()},
    ],
)
def test_a_baseline_that_was_measured_otherwise_is_not_compared_with(changes: dict) -> None:
    baseline = replace(gpu_latency("baseline"), **changes)
    record = with_latency(reference_record(), baseline=(baseline,), q8=(gpu_latency("q8"),))
    rows = [row for setting in latency_settings(record) for b in setting.batches for row in rows_at(setting, b)]
    assert [row.speed_up for row in rows if row.variant.name == "q8"] == [None] * 3
    assert fastest_stable(record) is None


def test_conditions_in_another_order_are_the_same() -> None:
    turned = replace(gpu_latency("q8"), conditions=dict(reversed(GPU_CONDITIONS.items())))
    record = with_latency(reference_record(), baseline=(gpu_latency("baseline"),), q8=(turned,))
    assert len(latency_settings(record)) == 1


def test_the_main_batch_is_the_smallest_that_most_have() -> None:
    record = with_latency(
        reference_record(),
        baseline=(gpu_latency("baseline", (8, 32)),),
        q16=(gpu_latency("q16", (1, 8, 32)),),
        q8=(gpu_latency("q8", (1, 32)),),
    )
    assert latency_settings(record)[0].main_batch == 32
    assert latency_settings(latency_reference_record())[0].main_batch == 1


def test_a_gpu_comes_before_a_cpu_and_more_variants_before_fewer() -> None:
    record = with_latency(
        reference_record(), baseline=(cpu_latency("baseline"), gpu_latency("baseline")), q16=(cpu_latency("q16"),)
    )
    main = main_setting(record)
    assert main is not None
    assert main.device == "NVIDIA L4"
    other = replace(gpu_latency("q8"), device="NVIDIA H200")
    record = with_latency(record, baseline=(other,), q16=(gpu_latency("q16"),), q8=(gpu_latency("q8"),))
    main = main_setting(record)
    assert main is not None
    assert main.device == "NVIDIA L4"
    assert main_setting(reference_record()) is None


def test_one_variant_alone_is_not_plotted() -> None:
    record = with_latency(
        reference_record(), baseline=(gpu_latency("baseline"), cpu_latency("baseline")), q16=(cpu_latency("q16"),)
    )
    assert [setting.device for setting in plotted_settings(record)] == ["CPU"]


def test_the_front_holds_whom_no_other_dominates() -> None:
    rng = np.random.default_rng(3)
    for _ in range(50):
        aucs = dict(zip(GPU_TIMES, rng.integers(90, 95, len(GPU_TIMES)) / 100, strict=True))
        record = latency_reference_record(cpu=False)
        record = with_aucs(record, **{name.replace("_", "-"): auc for name, auc in aucs.items()})
        rows = rows_at(latency_settings(record)[0], 1)
        medians = [row.measured.latency.median for row in rows]

        def dominated(row: LatencyRow, rows: tuple[LatencyRow, ...] = rows) -> bool:
            time, auc = row.measured.latency.median, row.variant.auc
            return any(
                (other.measured.latency.median <= time and other.variant.auc >= auc)
                and (other.measured.latency.median < time or other.variant.auc > auc)
                for other in rows
            )

        front = undominated(rows)
        assert len(set(medians)) == len(medians)
        assert set(names(front)) == {row.variant.name for row in rows if not dominated(row)}
        assert [row.variant.auc for row in front] == sorted(row.variant.auc for row in front)


def test_the_fastest_stable_variant_is_named_unless_it_is_slower_or_on_a_cpu() -> None:
    fastest = fastest_stable(latency_reference_record())
    assert fastest is not None
    assert (fastest.variant.name, fastest.measured.batch) == ("q16", 1)
    slow = with_latency(reference_record(), baseline=(gpu_latency("q8"),), q16=(gpu_latency("baseline"),))
    assert fastest_stable(slow) is None
    cpu = with_latency(reference_record(), baseline=(cpu_latency("q8"),), q16=(cpu_latency("q16"),))
    assert fastest_stable(cpu) is None
    assert fastest_stable(reference_record()) is None


def test_equal_warnings_name_their_variants_once_and_the_backend_where_there_are_several() -> None:
    told = {name: replace(gpu_latency(name), warnings=("w1", f"only {name}")) for name in ("q16", "q8")}
    record = with_latency(reference_record(), q16=(told["q16"],), q8=(told["q8"],))
    assert latency_warnings(record) == ("q16, q8: w1", "q16: only q16", "q8: only q8")
    both = with_latency(record, q16=(told["q16"], replace(cpu_latency("q16"), warnings=("w2",))), q8=(told["q8"],))
    assert latency_warnings(both)[0] == "q16 by tensorrt 10.13.0 on NVIDIA L4, q8 by tensorrt 10.13.0 on NVIDIA L4: w1"
    assert latency_warnings(both)[2] == "q16 by onnxruntime 1.22.0 on CPU: w2"
    assert latency_warnings(reference_record()) == ()
