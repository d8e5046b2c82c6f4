"""Whatever happens to a plan and its sidecar: TensorRT is handed the bytes that were built, or nothing."""

from __future__ import annotations

import random
import secrets
import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnx.parser
import pytest

from engines.backend import BuildOptions, backend_from_name
from engines.engine_runner import RunOptions
from engines.tensorrt_runner import TensorRTRunner
from export.errors import SignoffError
from export.sidecar import Recipe, make_artifact, read_artifact
from tests.engines.host_cuda import HostCuda
from tests.engines.mutations import MUTATIONS, plan_damaged

if TYPE_CHECKING:
    from pathlib import Path

    from engines.cuda import CudaDevice
    from export.sidecar import Artifact

PACKAGE = "tensorrt_rtx"
MUTATED = 300
# Drawn anew in every run; a failure shows it, and the name is the same for all processes that share the tests.
FRESH = pytest.param(secrets.randbelow(1 << 32), id="fresh")
# What a plan computes plays no part here; of a small network it is built, written and damaged quickly.
GRAPH = """
<ir_version: 8, opset_import: ["": 17]>
scorer (float[batch, 3, 16, 16] images) => (float[batch, 1, 1, 1] logit)
<float[1, 3, 16, 16] weights> {
    scaled = Relu (images)
    logit = Conv (scaled, weights)
}
"""


@dataclass(frozen=True)
class Plans:
    """Two real plans with their sidecars, as a run folder holds them."""

    folder: Path
    names: tuple[str, str] = ("baseline.tensorrt-rtx.plan", "q16.tensorrt-rtx.plan")


@pytest.fixture(scope="module")
def plans(tmp_path_factory: pytest.TempPathFactory) -> Plans:
    pytest.importorskip(PACKAGE, reason="TensorRT for RTX has no wheel for this platform")
    folder, backend, options = tmp_path_factory.mktemp("plans"), backend_from_name("tensorrt-rtx"), BuildOptions()
    built = Plans(folder)
    for seed, name in enumerate(built.names):
        graph = folder / f"{name}.onnx"
        onnx.save(_scorer(seed), graph)
        recipe = Recipe("engine", {"onnx": name}, {"backend": dict(backend.versions()), **options.to_dict()})
        make_artifact(folder / name, recipe, lambda path, graph=graph: backend.build(graph, path, options))
        graph.unlink()
    return built


def _scorer(seed: int) -> onnx.ModelProto:
    model = onnx.parser.parse_model(GRAPH)
    weights = np.random.default_rng(seed).normal(size=(1, 3, 16, 16)).astype(np.float32)
    model.graph.initializer.append(onnx.numpy_helper.from_array(weights, "weights"))
    return model


class ReachedError(Exception):
    """TensorRT would deserialize now."""


@dataclass
class Deserializer:
    """Stands in for `CudaEngine`: keeps the bytes that it is handed, and the run ends there."""

    given: list[bytes] = field(default_factory=list)

    def __call__(self, package: str, artifact: Artifact, plan: bytes) -> None:
        self.given.append(plan)
        raise ReachedError


@pytest.fixture
def deserializer(monkeypatch: pytest.MonkeyPatch) -> Deserializer:
    found = Deserializer()
    monkeypatch.setattr("engines.tensorrt_session.CudaEngine", found)
    return found


def run(engine: Artifact) -> None:
    """Opens a runner as `evaluate-engines` does, on a GPU that is none."""
    gpu = HostCuda()
    try:
        with TensorRTRunner(PACKAGE, engine, RunOptions(), open_device=lambda _: gpu):
            pass
    finally:
        assert not gpu.open
        assert gpu.broken == gpu.leaked == []


def broken_by(seed: int, deserializer: Deserializer, plans: Plans, folder: Path) -> tuple[list[str], int]:
    """Returns what went wrong under random damage, and how often TensorRT would have been reached."""
    rng = random.Random(seed)
    original = (plans.folder / plans.names[0]).read_bytes()
    broken, reached = [], 0
    for number in range(MUTATED):
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(plans.folder, folder)
        engine, other = (folder / name for name in plans.names)
        mutation = rng.choice(MUTATIONS)
        late = mutation is plan_damaged and rng.randrange(2) == 1  # after the file was read and found right
        label = f"{number}: {mutation.__name__}{' late' if late else ''}"
        if not late:
            mutation(engine, other, rng)
        deserializer.given.clear()
        try:
            artifact = read_artifact(engine)
            if late:
                mutation(engine, other, rng)
            run(artifact)
        except ReachedError:
            reached += 1
        except SignoffError as error:
            if len(str(error).splitlines()) != 1:
                broken.append(f"{label}: {error}")
        except Exception as error:  # whatever it is, a user would see its traceback
            broken.append(f"{label}: {error!r}")
        if deserializer.given not in ([], [original]):
            broken.append(f"{label}: other bytes")
    return broken, reached


def test_undamaged_plans_pass(plans: Plans, deserializer: Deserializer) -> None:
    for name in plans.names:
        with pytest.raises(ReachedError):
            run(read_artifact(plans.folder / name))
    assert deserializer.given == [(plans.folder / name).read_bytes() for name in plans.names]


@pytest.mark.parametrize("seed", [0, FRESH])
def test_tensorrt_gets_the_bytes_that_were_built_or_nothing(
    seed: int, plans: Plans, deserializer: Deserializer, tmp_path: Path
) -> None:
    broken, reached = broken_by(seed, deserializer, plans, tmp_path / "run")
    assert broken == []
    assert 0 < reached < MUTATED / 2, "most damage must be noticed, and some harms nothing"


def test_a_file_that_is_read_twice_is_caught(
    plans: Plans, deserializer: Deserializer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fuzzer is worth something only if it finds the two mistakes that are easiest to make; this is one."""

    def reading_again(engine: Artifact) -> bytes:
        """Relies on the file's having been checked a moment ago."""
        if not engine.path.is_file():  # a pipe would keep the test waiting
            raise SignoffError("gone")
        return engine.path.read_bytes()

    monkeypatch.setattr("engines.trusted.trusted_bytes", reading_again)
    broken, _ = broken_by(0, deserializer, plans, tmp_path / "run")
    assert any("late: other bytes" in entry for entry in broken), broken


def test_a_sidecar_that_is_believed_is_caught(
    plans: Plans, deserializer: Deserializer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This is the other."""

    def believing(engine: Artifact, package: str, device: CudaDevice) -> None:
        """Relies on a sidecar's saying what sidecars say."""
        if engine.recipe.options["backend"][package].split(".")[0] != "1":
            raise SignoffError("another release")
        batch = engine.facts["batch"]
        assert batch[0] + batch[1] <= 2 * batch[2]

    monkeypatch.setattr("export.sidecar.require_types", lambda *_: None)
    monkeypatch.setattr("engines.preflight.require_runnable", believing)
    broken, _ = broken_by(0, deserializer, plans, tmp_path / "run")
    assert any("sidecar_forged: TypeError" in entry for entry in broken), broken
