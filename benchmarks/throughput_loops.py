"""The two loops that `throughput.py` compares: a whole evaluation, and nothing but the engine."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from calibration.loading import BatchReader
from evaluate.scoring.scoring import scored_batches

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from calibration.samples import Sample
    from engines.engine_runner import EngineRunner
    from export.contract import InputContract
    from export.runner import Images
    from export.sidecar import Artifact


@dataclass(frozen=True)
class Work:
    """What both loops do in a turn.

    Attributes:
        engine: The engine.
        samples: Images of a turn, whole batches of them.
        contract: The engine's input.
        batch: Images per inference.
        in_bursts: How the images are read; see `BatchReader`.
    """

    engine: Artifact
    samples: Sequence[Sample]
    contract: InputContract
    batch: int
    in_bursts: bool = False

    @property
    def batches(self) -> int:
        """Inferences in a turn."""
        return len(self.samples) // self.batch

    def reader(self, samples: Sequence[Sample]) -> BatchReader:
        """Returns a reader as an evaluation has it."""
        form = self.engine.facts.get("input", "float32")
        return BatchReader(samples, self.contract, self.batch, form=form, in_bursts=self.in_bursts)

    def one_batch(self) -> Images:
        """Returns the first batch."""
        return next(iter(self.reader(self.samples[: self.batch]))).images


def evaluation(work: Work, runner: EngineRunner) -> Callable[[], float]:
    """Returns a function that scores the turn's images and tells the seconds."""

    def run() -> float:
        started = time.perf_counter()
        done = sum(len(logits) for _, logits in scored_batches(runner.infer_each, work.reader(work.samples), "turn"))
        seconds = time.perf_counter() - started
        if done != len(work.samples):
            raise RuntimeError(f"{done} of {len(work.samples)} images were scored")
        return seconds

    return run


def bare_session(work: Work) -> Callable[[], float]:
    """Returns a function that runs the graph in ONNX Runtime on the CPU, without any code of the toolkit."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.add_session_config_entry("session.disable_quant_qdq", "1")  # part of what the engine is
    session = onnxruntime.InferenceSession(work.engine.path, options, providers=["CPUExecutionProvider"])
    taken = session.get_inputs()[0].name
    images = work.one_batch()

    def run() -> float:
        started = time.perf_counter()
        for _ in range(work.batches):
            session.run(None, {taken: images})
        return time.perf_counter() - started

    return run


def bare_queries(work: Work, runner: EngineRunner) -> Callable[[], float]:
    """Returns a function that runs the engine back to back, as trtexec does, copies included."""
    images = work.one_batch()

    def run() -> float:
        with closing(runner.queries(images)) as queries:
            done = list(islice(queries, work.batches))
        return done[-1].ended - done[0].started

    return run
