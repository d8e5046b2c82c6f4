"""Calls at a time whose results come in order."""

from __future__ import annotations

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from export import concurrency
from export.concurrency import in_order, inferences_at_a_time, processors_at_hand
from export.interrupts import careful_interrupts

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.mark.parametrize("at_once", [1, 2, 5])
@pytest.mark.parametrize("count", [0, 1, 3, 40])
def test_results_are_those_of_map(at_once: int, count: int) -> None:
    delays = np.random.default_rng().uniform(0, 0.004, count).tolist()

    def squared(number: int) -> int:
        time.sleep(delays[number])
        return number**2

    assert list(in_order(squared, range(count), at_once)) == list(map(squared, range(count)))


@pytest.mark.parametrize("at_once", [1, 2, 5])
def test_so_many_calls_run_at_a_time_and_no_more(at_once: int) -> None:
    meeting = threading.Barrier(at_once, timeout=10)
    lock, running, most = threading.Lock(), 0, 0

    def met(_: int) -> int:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        place = meeting.wait()  # breaks, and fails the test, unless so many calls are here at a time
        with lock:
            running -= 1
        return place

    assert len(list(in_order(met, range(3 * at_once), at_once))) == 3 * at_once
    assert most == at_once


def test_inputs_are_taken_no_further_ahead_than_keeps_the_threads_busy() -> None:
    taken = 0

    def numbers() -> Iterator[int]:
        nonlocal taken
        while taken < 20:
            taken += 1
            yield taken

    for yielded, result in enumerate(in_order(abs, numbers(), 3), start=1):
        assert result == yielded
        assert taken <= yielded + 3


def test_an_error_comes_when_its_turn_has_come() -> None:
    def failing(number: int) -> int:
        if number == 4:
            raise ValueError("the fifth")
        return number

    results = in_order(failing, range(10), 3)
    assert [next(results) for _ in range(4)] == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="the fifth"):
        next(results)
    assert_no_thread_is_left()


@pytest.mark.parametrize("at_once", [1, 2, 5])
@pytest.mark.parametrize("count", [0, 1, 2, 9])
def test_an_error_of_the_inputs_comes_after_the_results_before_it(at_once: int, count: int) -> None:
    def numbers() -> Iterator[int]:
        yield from range(count)
        raise OSError("no more of them")

    results = in_order(abs, numbers(), at_once)
    assert [next(results) for _ in range(count)] == list(range(count))
    with pytest.raises(OSError, match="no more of them"):
        next(results)
    assert_no_thread_is_left()


def test_closing_it_waits_for_what_runs() -> None:
    begun, done = [], []

    def slow(number: int) -> int:
        begun.append(number)
        time.sleep(0.03)
        done.append(number)
        return number

    results = in_order(slow, range(10), 2)
    assert next(results) == 0
    results.close()
    assert sorted(begun) == sorted(done)
    assert_no_thread_is_left()


def test_an_interrupt_waits_for_what_runs_and_drops_what_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    main, begun = threading.get_ident(), []
    third_taken, ending, told_to_end = threading.Event(), threading.Event(), threading.Event()

    class Watched(ThreadPoolExecutor):
        def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
            ending.set()
            super().shutdown(wait=False, cancel_futures=cancel_futures)
            told_to_end.set()
            super().shutdown(wait=wait)

    def numbers() -> Iterator[int]:
        yield from (0, 1)
        third_taken.set()
        yield from range(2, 10)

    def interrupting(number: int) -> int:
        begun.append(number)
        third_taken.wait(10)
        while number == 0 and not ending.is_set():
            signal.pthread_kill(main, signal.SIGINT)
            ending.wait(1)  # Python sleeps on if a signal comes just before it falls asleep
        told_to_end.wait(10)
        return number

    monkeypatch.setattr(concurrency, "ThreadPoolExecutor", Watched)
    with pytest.raises(KeyboardInterrupt), careful_interrupts():
        list(in_order(interrupting, numbers(), 2))
    assert sorted(begun) == [0, 1]
    assert_no_thread_is_left()


@given(batch_size=st.integers(1, 4096), size=st.integers(32, 4096), processors=st.integers(1, 256))
def test_inferences_are_bounded_by_processors_and_pixels(batch_size: int, size: int, processors: int) -> None:
    inferences = inferences_at_a_time(batch_size, size, processors)
    assert 1 <= inferences <= processors
    assert inferences == 1 or inferences * batch_size * size * size <= concurrency._MOST_PIXELS
    if inferences < processors:
        assert (inferences + 1) * batch_size * size * size > concurrency._MOST_PIXELS


@pytest.mark.parametrize(
    ("batch_size", "size", "processors", "expected"),
    [
        (1, 456, 2, 2),
        (1, 456, 64, 10),
        (16, 456, 64, 1),
        (16, 144, 2, 2),
        (16, 224, 8, 2),
        (1, 224, 1, 1),
    ],
)
def test_inferences_at_usual_sizes(batch_size: int, size: int, processors: int, expected: int) -> None:
    assert inferences_at_a_time(batch_size, size, processors) == expected


def test_processors_are_those_that_the_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 7)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 3, 5})
    assert processors_at_hand() == 3
    monkeypatch.delattr(os, "sched_getaffinity")  # as on macOS and Windows
    assert processors_at_hand() == 7
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert processors_at_hand() == 1


def assert_no_thread_is_left() -> None:
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("infer")]
