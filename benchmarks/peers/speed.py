"""How fast a graph is beside the dense one, both run in turns by ONNX Runtime on the CPU."""

from __future__ import annotations

import time
from statistics import median
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
_TURNS = 12
_RUNS_PER_TURN = 3


def speed_of_graph(job: Job, graph: Path) -> Mapping[str, Any]:
    """Times the graph and the dense one on calibration images, a few runs each in turns, so that both share the load.

    Images are real ones, because random input leaves the range in which a network's activations usually lie.
    """
    images = calibration_images(job)
    with OnnxRunner(job.fp32_graph) as dense, OnnxRunner(graph) as own:
        # A set smaller than the batch is repeated.
        batches = [np.array(images[np.arange(size) % len(images)]) for size in BATCHES]
        return {"batches": [{"batch": len(batch), **_in_turns(dense, own, batch)} for batch in batches]}


def _in_turns(dense: OnnxRunner, own: OnnxRunner, batch: NDArray[np.float32]) -> dict[str, Any]:
    seconds: tuple[list[float], list[float]] = ([], [])
    for turn in range(_TURNS):
        # Who begins alternates, too.
        pair = [(dense, seconds[0]), (own, seconds[1])]
        for runner, taken in pair if turn % 2 == 0 else reversed(pair):
            # Not counted: caches hold the other graph's weights, and the other session's threads may still spin.
            runner.infer(batch)
            taken.extend(_seconds(runner, batch) for _ in range(_RUNS_PER_TURN))
    dense_median, own_median = median(seconds[0]), median(seconds[1])
    return {
        "runs": _TURNS * _RUNS_PER_TURN,
        "dense_ms": 1000 * dense_median,
        "ms": 1000 * own_median,
        "speedup": dense_median / own_median,
    }


def _seconds(runner: OnnxRunner, batch: NDArray[np.float32]) -> float:
    started = time.perf_counter()
    runner.infer(batch)
    return time.perf_counter() - started
