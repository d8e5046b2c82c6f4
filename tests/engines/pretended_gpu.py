"""A `TensorRTRunner` on a pretended GPU, and a scenario that uses it in every way."""

from __future__ import annotations

import hashlib
import sys
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from engines import tensorrt_engine
from engines.engine_runner import RunOptions
from engines.tensorrt_module import message_log
from engines.tensorrt_runner import TensorRTRunner
from export.sidecar import Artifact, Recipe
from tests.engines.fake_tensorrt import FakeTensorRT, expected_logits, plan_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from tests.engines.host_cuda import HostCuda

RELEASES = ("8.6", "10", "rtx")


class PretendedGpu:
    """A device with a release of TensorRT and one plan.

    Attributes:
        trt: The module.
        cuda: The device.
        artifact: The plan with what its sidecar would say.
        plan: Its bytes.
        gates: What was asked before the plan was deserialized, in order.
    """

    def __init__(
        self, folder: Path, release: str, cuda: HostCuda, facts: dict[str, Any] | None = None, **description: Any
    ) -> None:
        self.trt = FakeTensorRT(release, cuda)
        self.cuda = cuda
        self.plan = plan_bytes(self.trt.package, **description)
        self.form = description.get("form", "float32")
        self.size = description.get("size", 4)
        path = folder / "x.plan"
        path.write_bytes(self.plan)
        digest = hashlib.sha256(self.plan).hexdigest()
        self.artifact = Artifact(path, digest, Recipe("engine", {}), {"input": self.form, **(facts or {})}, "key")
        self.gates: list[str] = []

    def runner(self, batch_size: int = 4, cuda_graphs: bool = True) -> TensorRTRunner:
        options = RunOptions(batch_size=batch_size, cuda_graphs=cuda_graphs, gpu=3)
        return TensorRTRunner(self.trt.package, self.artifact, options)

    def images(self, count: int, seed: int = 0) -> NDArray[Any]:
        random = np.random.default_rng((seed, count))
        if self.form == "uint8":
            return random.integers(0, 256, (count, self.size, self.size, 3), np.uint8)
        return random.normal(size=(count, 3, self.size, self.size)).astype(np.float32)

    def expected(self, images: NDArray[Any]) -> NDArray[np.float32]:
        return expected_logits(self.plan, images)

    def open_cuda(self, gpu: int) -> HostCuda:
        assert gpu == 3
        self.gates.append("open")
        return self.cuda

    def require_runnable(self, engine: Artifact, package: str, device: Any) -> None:
        assert (engine, package, device) == (self.artifact, self.trt.package, self.cuda.device)
        assert self.cuda.open
        assert not self.trt.alive["Runtime"]
        self.gates.append("preflight")

    def trusted_bytes(self, engine: Artifact) -> bytes:
        assert engine is self.artifact
        assert not self.trt.alive["Runtime"]
        self.gates.append("digest")
        return engine.path.read_bytes()

    def require_plan(self, blob: bytes, package: str, name: str) -> None:
        assert (blob, package, name) == (self.artifact.path.read_bytes(), self.trt.package, "x.plan")
        assert not self.trt.alive["Runtime"]
        self.gates.append("kind")

    def engine_validity_words(self, validity_bits: int) -> str:
        return f"reason {validity_bits}"


@contextmanager
def installed(gpu: PretendedGpu, real_package: bool = False) -> Iterator[PretendedGpu]:
    """Puts the pretended gates, and unless told otherwise the pretended package, into the place of the real ones."""
    choice, trusted, preflight = (ModuleType(name) for name in ("choice", "trusted", "preflight"))
    vars(choice)["open_cuda"] = gpu.open_cuda
    vars(trusted).update(trusted_bytes=gpu.trusted_bytes, require_plan=gpu.require_plan)
    vars(preflight).update(require_runnable=gpu.require_runnable, engine_validity_words=gpu.engine_validity_words)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "engines.cuda_choice", choice)
        patch.setitem(sys.modules, "engines.trusted", trusted)
        patch.setitem(sys.modules, "engines.preflight", preflight)
        if not real_package:
            _install_package(gpu, patch)
        yield gpu


def _install_package(gpu: PretendedGpu, patch: pytest.MonkeyPatch) -> None:
    patch.setitem(sys.modules, gpu.trt.package, gpu.trt)
    log = message_log.__wrapped__(gpu.trt.package)  # not the process's own, which the real package keeps
    patch.setattr(tensorrt_engine, "message_log", lambda _: log)


def assert_clean(gpu: PretendedGpu) -> None:
    """Asserts that no rule was broken and that nothing is left."""
    assert not gpu.cuda.open
    faults = [*gpu.cuda.broken, *gpu.cuda.leaked, *gpu.cuda.live, *(+gpu.trt.alive)]
    assert not faults, faults


def assert_right(gpu: PretendedGpu, logits: NDArray[np.float32], images: NDArray[Any]) -> None:
    assert logits.dtype == np.float32
    np.testing.assert_array_equal(logits, gpu.expected(images))


def assert_scenario(gpu: PretendedGpu, runner: TensorRTRunner, sizes: Sequence[int]) -> None:
    """Scores batches of all sizes, stops early, and measures at other batch sizes; then in the opposite order."""
    batches = [gpu.images(size, seed) for seed, size in enumerate(sizes)]

    def score() -> None:
        results = list(runner.infer_each(batches))
        assert len(results) == len(batches), f"{len(results)} results of {len(batches)} batches"
        for images, logits in zip(batches, results, strict=True):
            assert_right(gpu, logits, images)

    def stop_early() -> None:
        stopped = runner.infer_each(iter(batches))
        assert_right(gpu, next(stopped), batches[0])
        stopped.close()
        for images in batches:
            assert_right(gpu, runner.infer(images), images)

    def measure() -> None:
        for size in sorted({1, runner.largest_batch}):
            queries = runner.queries(gpu.images(size, 77))
            for _ in range(4):
                next(queries)
            queries.close()

    for steps in ((measure, score, stop_early, measure), (stop_early, score, measure, stop_early)):
        with runner:
            for step in steps:
                step()
        assert_clean(gpu)
        batches.reverse()
