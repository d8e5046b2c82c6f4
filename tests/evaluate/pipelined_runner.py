"""A backend whose runner keeps two batches in flight, as a GPU's does, and fails where a test wants it to."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from calibration.datasets.celeb_df import samples_from_celeb_df
from calibration.samples import SampleSet
from engines.cuda import DeviceLostError
from engines.engine_runner import ColdStart, Query
from engines.run_folder import RunFolder
from engines.spec import EngineSpec, RunSpec
from engines.store import ArtifactStore
from evaluate.scoring.session import Session
from export.sidecar import Recipe, make_artifact
from export.variant import Precision, variant_from_name
from tests.detectors import contract_for_tests

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator
    from pathlib import Path
    from types import TracebackType

    from numpy.typing import NDArray
    from typing_extensions import Self

    from engines.engine_runner import RunOptions
    from evaluate.scoring.request import EvaluationRequest
    from export.runner import Images
    from export.sidecar import Artifact

Q8 = variant_from_name("q8")
DEPTH = 2


def device_lost() -> BaseException:
    return DeviceLostError("cuEventSynchronize: unspecified launch failure (CUDA_ERROR_LAUNCH_FAILED)")


@dataclass
class PipelinedBackend:
    """Hands out runners and keeps account of what they did.

    Attributes:
        memory_for: Images that fit onto the device.
        fails_at: Number of the batch whose start fails, counted per runner.
        failure: What is raised there.
        garbage_at: Number of the batch whose first logit is NaN.
        opened: Options of every runner.
        batches: Every batch that was taken.
        cold_starts: Images of every cold start.
    """

    memory_for: int = 64
    fails_at: int | None = None
    failure: Callable[[], BaseException] = device_lost
    garbage_at: int | None = None
    name: str = "onnxruntime"  # so that files are named as those of a backend that exists
    suffix: str = ".onnx"
    opened: list[RunOptions] = field(default_factory=list)
    batches: list[NDArray[np.generic]] = field(default_factory=list)
    cold_starts: list[NDArray[np.generic]] = field(default_factory=list)

    def versions(self) -> dict[str, str]:
        return {"pipelined": "1.2.3"}

    def build_device(self, gpu: int = 0) -> dict[str, str]:
        return {"name": "Test GPU", "driver": f"580.65.0{gpu}"}

    def device(self, gpu: int = 0) -> str:
        return f"Test GPU {gpu}"

    def simulation_note(self, precision: Precision) -> str:
        return "all of it is made up" if precision is Precision.INT8 else ""

    def runner(self, engine: Artifact, options: RunOptions) -> PipelinedRunner:
        self.opened.append(options)
        return PipelinedRunner(self, options)


class PipelinedRunner:
    """Its logits depend on every image of the batch, so that a batch of other images is told by its scores."""

    def __init__(self, backend: PipelinedBackend, options: RunOptions) -> None:
        self._backend = backend
        self.largest_batch = min(options.batch_size, backend.memory_for)
        self.notes = () if self.largest_batch == options.batch_size else (f"batch halved to {self.largest_batch}",)
        self.conditions = {"CUDA graph": "yes" if options.cuda_graphs else "no"}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def infer(self, images: Images) -> NDArray[np.float32]:
        assert len(images) <= self.largest_batch
        values = images.astype(np.float32).mean(axis=(1, 2, 3))
        return values + np.float32(0.01) * values.mean()

    def infer_each(self, batches: Iterable[Images]) -> Iterator[NDArray[np.float32]]:
        in_flight: deque[NDArray[np.float32]] = deque()
        for number, images in enumerate(batches):
            if number == self._backend.fails_at:
                raise self._backend.failure()
            self._backend.batches.append(images)
            logits = self.infer(images)
            if number == self._backend.garbage_at:
                logits[0] = np.nan
            in_flight.append(logits)
            if len(in_flight) > DEPTH:
                yield in_flight.popleft()
        yield from in_flight

    def queries(self, images: Images) -> Generator[Query, None, None]:
        moment = 0.0
        while True:
            yield Query(moment, moment + 0.1, 100.0)
            moment += 0.1

    def cold_start(self, images: Images) -> ColdStart:
        self._backend.cold_starts.append(images)
        return ColdStart(1.0, 2.0, 3.0, 4)


def write_engine(run: RunFolder, content: bytes = b"engine", **facts: object) -> None:
    """Writes the engine of q8, with facts that a builder would have written."""
    path = run.engine(Q8.name, "onnxruntime", ".onnx")
    path.parent.mkdir(parents=True, exist_ok=True)

    def write(temporary: Path) -> dict[str, object]:
        temporary.write_bytes(content)
        return facts

    make_artifact(path, Recipe("engine", {"onnx": "0" * 64}, {"backend": {"pipelined": "1.2.3"}}), write)


def session_of(request: EvaluationRequest, backend: PipelinedBackend, told: list[str] | None = None) -> Session:
    """Returns a session on a data set laid out as Celeb-DF-v2."""
    contract = contract_for_tests(size=32)
    spec = RunSpec(contract, "checkpoint", "0" * 64, (EngineSpec(Q8, backend.name),), None)
    samples = SampleSet(request.test, samples_from_celeb_df(request.test).samples)
    announce = (told if told is not None else []).append
    return Session(
        request,
        RunFolder(request.run),
        spec,
        backend,  # type: ignore[arg-type]  # it builds nothing
        samples,
        ArtifactStore(contract.network_json(), announce=announce),
        announce,
    )
