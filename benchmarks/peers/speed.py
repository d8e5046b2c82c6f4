"""How fast a graph is beside the dense one, both run in turns by ONNX Runtime on the CPU."""

from __future__ import annotations

import time
from statistics import median, quantiles
from typing import TYPE_CHECKING, Any

import numpy as np

from export.runners import OnnxRunner
from peers.inputs import calibration_images

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from peers.job import Job

BATCHES = (1, 8)
# One thread does the same work, and whatever else runs on the machine disturbs it least.
THREADS = 1
_TURNS = 20
_RUNS_PER_TURN = 3


def speed_of_graph(job: Job, graph: Path) -> Mapping[str, Any]:
    """Times the graph and the dense one on calibration images, a few runs each in turns, so that both share the load.

    Images are real ones, because random input leaves the range in which a network's activations usually lie.
    """
    images = calibration_images(job)
    with OnnxRunner(job.fp32_graph, THREADS) as dense, OnnxRunner(graph, THREADS) as own:
        # A set smaller than the batch is repeated.
        batches = [np.array(images[np.arange(size) % len(images)]) for size in BATCHES]
        return {"batches": [{"batch": len(batch), **_in_turns(dense, own, batch)} for batch in batches]}


def _in_turns(dense: OnnxRunner, own: OnnxRunner, batch: NDArray[np.float32]) -> dict[str, Any]:
    dense_seconds: list[float] = []
    own_seconds: list[float] = []
    for turn in range(_TURNS):
        # Who begins alternates, too.
        pair = [(dense, dense_seconds), (own, own_seconds)]
        for runner, taken in pair if turn % 2 == 0 else reversed(pair):
            taken.append(_seconds(runner, batch))
    # The two of a turn ran next to each other; what slows the machine for longer than that cancels out.
    ratios = [of_dense / of_own for of_dense, of_own in zip(dense_seconds, own_seconds, strict=True)]
    low, middle, high = quantiles(ratios, n=4)
    return {
        "turns": _TURNS,
        "dense_ms": 1000 * median(dense_seconds),
        "ms": 1000 * median(own_seconds),
        "speedup": middle,
        "quartiles": [low, high],
    }


def _seconds(runner: OnnxRunner, batch: NDArray[np.float32]) -> float:
    """Returns the median of a turn's runs; the first is not counted, because caches hold the other graph's weights."""
    runner.infer(batch)
    taken = []
    for _ in range(_RUNS_PER_TURN):
        started = time.perf_counter()
        runner.infer(batch)
        taken.append(time.perf_counter() - started)
    return median(taken)
