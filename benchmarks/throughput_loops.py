"""The loops that `throughput.py` compares: a whole evaluation, and nothing but the engine."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from calibration.loading import BatchReader
from evaluate.scoring.scoring import scored_batches
from export.concurrency import processors_at_hand

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from calibration.samples import Sample
    from engines.engine_runner import EngineRunner
    from export.contract import InputContract
    from export.runner import Images
    from export.sidecar import Artifact


@dataclass(frozen=True)
class Work:
    """What every loop does in a turn.

    Attributes:
        engine: The engine.
        samples: Images of a turn, whole batches of them.
        contract: The engine's input.
        batch: Images per inference.
    """

    engine: Artifact
    samples: Sequence[Sample]
    contract: InputContract
    batch: int

    @property
    def batches(self) -> int:
        """Inferences in a turn."""
        return len(self.samples) // self.batch

    def reader(self, samples: Sequence[Sample]) -> BatchReader:
        """Returns a reader as an evaluation has it."""
        form = self.engine.facts.get("input", "float32")
        return BatchReader(samples, self.contract, self.batch, form=form)

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


def bare_loops(backend: str, work: Work, runner: EngineRunner) -> Mapping[str, Callable[[], float]]:
    """Returns the loops that an evaluation is compared with, by name.

    ONNX Runtime on the processors has two, without any code of the toolkit: the one that everybody writes, and one that
    calls a session of one thread from as many threads as there are processors. Anything else has the runner's queries.
    """
    if backend != "onnxruntime":
        return {"queries": _queries(work, runner)}
    processors = processors_at_hand()
    return {"one at a time": _session(work, 0, 1), f"{processors} at a time": _session(work, 1, processors)}


def _session(work: Work, threads: int, at_a_time: int) -> Callable[[], float]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.disable_quant_qdq", "1")  # part of what the engine is
    session = onnxruntime.InferenceSession(work.engine.path, options, providers=["CPUExecutionProvider"])
    taken = session.get_inputs()[0].name
    images = work.one_batch()

    def run() -> float:
        started = time.perf_counter()
        with ThreadPoolExecutor(at_a_time) as pool:
            list(pool.map(lambda _: session.run(None, {taken: images}), range(work.batches)))
        return time.perf_counter() - started

    return run


def _queries(work: Work, runner: EngineRunner) -> Callable[[], float]:
    """Returns a function that runs the engine back to back, as trtexec does, copies included."""
    images = work.one_batch()

    def run() -> float:
        with closing(runner.queries(images)) as queries:
            done = list(islice(queries, work.batches))
        return done[-1].ended - done[0].started

    return run
