from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from engines.engine_runner import Query
from engines.latency import batch_latency
from engines.latency_measuring import LatencyConditions, measured_latency, steady_queries
from export.errors import BackendError
from tests.engines.scripted_runner import ScriptedRunner

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engines.engine_runner import EngineRunner
    from engines.latency import LatencyRecord
    from export.runner import Images

BRIEF = LatencyConditions(warm_up_ms=200, min_queries=10, min_seconds=3.0)


def every(period_ms: int, took_ms: int, first_at: float = 1000.0) -> Iterator[Query]:
    """Endless queries at whole milliseconds, which overlap where one takes longer than the period."""
    for start_ms in itertools.count(0, period_ms):
        yield Query(
            first_at + start_ms / 1000, first_at + (start_ms + took_ms) / 1000, float(took_ms), 0.25, 0.125, 0.1
        )


def images_of(batch: int) -> Images:
    return np.zeros((batch, 3, 4, 4), np.float32)


def measured(
    runner: EngineRunner, batches: list[int], conditions: LatencyConditions = BRIEF, label: str = ""
) -> LatencyRecord:
    return measured_latency(runner, images_of, batches, conditions, "tensorrt 10.13.0", "NVIDIA L4", label)


def kept_by_trtexec(queries: list[Query], conditions: LatencyConditions) -> tuple[int, int]:
    """Returns how many queries trtexec's loop would drop and keep, in whole milliseconds after the first start."""
    origin = queries[0].started
    starts = [round(1000 * (query.started - origin)) for query in queries]
    ends = [round(1000 * (query.ended - origin)) for query in queries]
    dropped = sum(start < conditions.warm_up_ms for start in starts)
    for last in range(dropped, len(queries)):
        kept = last - dropped + 1
        if kept >= conditions.min_queries and ends[last] - starts[dropped] >= 1000 * conditions.min_seconds:
            return dropped, kept
    raise AssertionError("the script is too short")


@pytest.mark.parametrize(
    ("period", "took", "dropped", "kept"),
    [
        (10, 10, 20, 300),  # the warm-up ends exactly at the start of the 21st, which counts
        (7, 7, 29, 429),
        (10, 35, 20, 298),  # overlapping: the last one's end counts, not its start
        (500, 500, 1, 10),  # so slow that ten queries take longer than three seconds
        (300, 300, 1, 10),
        (301, 299, 1, 10),
    ],
)
def test_the_warm_up_is_dropped_and_enough_is_kept(period: int, took: int, dropped: int, kept: int) -> None:
    script = list(itertools.islice(every(period, took), 1000))
    assert kept_by_trtexec(script, BRIEF) == (dropped, kept)
    assert steady_queries(iter(script), BRIEF) == tuple(script[dropped : dropped + kept])


def test_other_conditions_are_obeyed() -> None:
    script = list(itertools.islice(every(10, 10), 1000))
    assert len(steady_queries(iter(script), LatencyConditions(0, 25, 0.0))) == 25
    assert steady_queries(iter(script), LatencyConditions(55, 1, 0.0)) == (script[6],)
    assert len(steady_queries(iter(script), LatencyConditions(0, 1, 0.5))) == 50


def test_no_query_more_than_needed_is_asked_for_and_the_iterator_is_closed() -> None:
    runner = ScriptedRunner(lambda _: every(10, 10))
    measured(runner, [1])
    assert len(runner.given) == 20 + 300
    assert runner.calls == ["cold start 1", "queries 1", "closed 1"]


def test_the_cold_start_comes_first_with_the_smallest_batch_then_each_size_once() -> None:
    runner = ScriptedRunner(lambda _: every(10, 10))
    record = measured(runner, [8, 1, 32, 8])
    sizes = [1, 8, 32]
    steps = [step for size in sizes for step in (f"queries {size}", f"closed {size}")]
    assert runner.calls == ["cold start 1", *steps]
    assert [entry.batch for entry in record.batches] == sizes


def test_the_record_says_what_was_measured_and_how() -> None:
    record = measured(ScriptedRunner(lambda batch: every(10 * batch, 10 * batch)), [1, 4])
    assert (record.backend, record.device) == ("tensorrt 10.13.0", "NVIDIA L4")
    assert (record.load_ms, record.prepare_ms, record.first_inference_ms) == (812.5, 40.25, 3.5)
    assert record.memory_bytes == 1 << 28
    assert record.conditions == {
        "CUDA graph": "yes",
        "warm-up": "200 ms",
        "measured": "at least 10 queries and 3 s",
    }
    one, four = record.batches
    assert one == batch_latency(1, list(itertools.islice(every(10, 10), 20, 320)))
    assert (one.images_per_second, four.images_per_second) == (pytest.approx(100.0), pytest.approx(100.0))
    assert (one.latency.median, four.latency.p99) == (10.375, 40.375)
    assert record.warnings == ()


def test_warnings_are_the_runners_notes_and_trtexecs() -> None:
    def jittering(_: int) -> Iterator[Query]:
        for index, query in enumerate(every(10, 10)):
            yield replace(query, compute_ms=9.0 + 2 * (index % 2), enqueue_ms=9.9)

    runner = ScriptedRunner(jittering)
    runner.notes = ("CUDA graphs could not be captured",)
    note, *cautions = measured(runner, [1, 8]).warnings
    assert note == "CUDA graphs could not be captured"
    assert [text.partition(",")[0] for text in cautions] == ["at batch 1"] * 2 + ["at batch 8"] * 2


def test_a_batch_that_the_memory_does_not_hold_is_left_out_with_a_warning() -> None:
    runner = ScriptedRunner(lambda _: every(10, 10))
    runner.after_cold_start = 8
    record = measured(runner, [1, 8, 16, 32])
    assert [entry.batch for entry in record.batches] == [1, 8]
    assert record.warnings == ("latency at batch 16, 32 was not measured: the device's memory holds 8 images",)


@pytest.mark.parametrize(("before", "after"), [(4, 4), (32, 4)])
def test_a_device_with_no_room_for_any_batch_is_an_error(before: int, after: int) -> None:
    runner = ScriptedRunner(lambda _: every(10, 10), largest_batch=before)
    runner.after_cold_start = after
    with pytest.raises(BackendError, match="smallest batch to measure is 8, but the device's memory holds 4 images"):
        measured(runner, [32, 8])
    assert "queries 8" not in runner.calls


@pytest.mark.parametrize("batches", [[], [0, 1], [-1]])
def test_batch_sizes_must_be_given(batches: list[int]) -> None:
    with pytest.raises(ValueError, match="batch sizes"):
        measured(ScriptedRunner(lambda _: every(10, 10)), batches)


def test_images_of_another_number_are_an_error() -> None:
    with pytest.raises(ValueError, match="3 images for batch 1"):
        measured_latency(
            ScriptedRunner(lambda _: every(10, 10)), lambda batch: images_of(batch + 2), [1], BRIEF, "tensorrt", "GPU"
        )


def test_a_failing_query_closes_the_iterator_and_is_passed_on() -> None:
    def failing(_: int) -> Iterator[Query]:
        yield from itertools.islice(every(10, 10), 50)
        raise BackendError("the GPU was lost")

    runner = ScriptedRunner(failing)
    with pytest.raises(BackendError, match="lost"):
        measured(runner, [1])
    assert runner.calls[-1] == "closed 1"


def test_an_iterator_that_ends_early_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="ended after 30 queries"):
        steady_queries(itertools.islice(every(10, 10), 50), BRIEF)


def test_nothing_is_printed_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    measured(ScriptedRunner(lambda _: every(10, 10)), [1, 2], label="latency of q8")
    assert capsys.readouterr() == ("", "")


def test_the_bar_counts_batch_sizes_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    measured(ScriptedRunner(lambda _: every(10, 10)), [1, 2], label="latency of q8")
    assert "latency of q8:   0%|" in capsys.readouterr().err
