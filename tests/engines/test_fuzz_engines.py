"""Whatever happens to a plan and its sidecar: TensorRT is handed the bytes that were built, or nothing."""

from __future__ import annotations

import random
import secrets
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

import onnx
import pytest

from engines.backend import BuildOptions, backend_from_name
from engines.cuda import CudaDevice
from engines.preflight import require_runnable
from engines.trusted import require_plan, trusted_bytes
from export.errors import SignoffError
from export.half_precision import fp16_from_fp32
from export.sidecar import Recipe, make_artifact, read_artifact
from tests.engines.mutations import MUTATIONS, plan_damaged

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from export.sidecar import Artifact

    Gate = Callable[[Artifact, CudaDevice], bytes]

PACKAGE = "tensorrt_rtx"
ADA = CudaDevice(0, "NVIDIA RTX 4000 Ada", "8.9", 20 << 30, "13.0", "580.65.06")
MUTATED = 300
FRESH = secrets.randbelow(1 << 32)  # in the name of the test, so that a failure can be repeated


@dataclass(frozen=True)
class Plans:
    """Two real plans with their sidecars, as a run folder holds them."""

    folder: Path
    names: tuple[str, str] = ("baseline.tensorrt-rtx.plan", "q16.tensorrt-rtx.plan")


@pytest.fixture(scope="module")
def plans(_exported: onnx.ModelProto, tmp_path_factory: pytest.TempPathFactory) -> Plans:
    pytest.importorskip(PACKAGE, reason="TensorRT for RTX has no wheel for this platform")
    folder, backend, options = tmp_path_factory.mktemp("plans"), backend_from_name("tensorrt-rtx"), BuildOptions()
    built = Plans(folder)
    for name, model in zip(built.names, (_exported, fp16_from_fp32(_copy(_exported))), strict=True):
        graph = folder / f"{name}.onnx"
        onnx.save(model, graph)
        recipe = Recipe("engine", {"onnx": name}, {"backend": dict(backend.versions()), **options.to_dict()})
        make_artifact(folder / name, recipe, lambda path, graph=graph: backend.build(graph, path, options))
        graph.unlink()
    return built


def _copy(model: onnx.ModelProto) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return copy


def vetted(engine: Artifact, device: CudaDevice) -> bytes:
    """What a runner does before it deserializes."""
    require_runnable(engine, PACKAGE, device)
    plan = trusted_bytes(engine)
    require_plan(plan, PACKAGE, engine.path.name)
    return plan


def reading_again(engine: Artifact, device: CudaDevice) -> bytes:
    """A runner that relies on the file's having been checked a moment ago."""
    require_runnable(engine, PACKAGE, device)
    if not engine.path.is_file():  # a pipe would keep the test waiting
        raise SignoffError("gone")
    return engine.path.read_bytes()


def believing_the_sidecar(engine: Artifact, device: CudaDevice) -> bytes:
    """A runner that relies on a sidecar's saying what sidecars say."""
    if engine.recipe.options["backend"][PACKAGE].split(".")[0] != "1":
        raise SignoffError("another release")
    batch = engine.facts["batch"]
    assert batch[0] + batch[1] <= 2 * batch[2]
    return trusted_bytes(engine)


def broken_by(seed: int, gate: Gate, plans: Plans, folder: Path) -> tuple[list[str], int]:
    """Returns what went wrong under random damage, and how often TensorRT would have been reached."""
    rng = random.Random(seed)
    originals = [(plans.folder / name).read_bytes() for name in plans.names]
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
        try:
            artifact = read_artifact(engine)
            if late:
                mutation(engine, other, rng)
            handed_on = gate(artifact, ADA)
        except SignoffError as error:
            if len(str(error).splitlines()) != 1:
                broken.append(f"{label}: {error}")
        except Exception as error:  # whatever it is, a user would see its traceback
            broken.append(f"{label}: {error!r}")
        else:
            reached += 1
            if handed_on != originals[0]:
                broken.append(f"{label}: other bytes")
    return broken, reached


def test_undamaged_plans_pass(plans: Plans) -> None:
    for name in plans.names:
        path = plans.folder / name
        assert vetted(read_artifact(path), ADA) == path.read_bytes()


@pytest.mark.parametrize("seed", [0, FRESH])
def test_tensorrt_gets_the_bytes_that_were_built_or_nothing(seed: int, plans: Plans, tmp_path: Path) -> None:
    broken, reached = broken_by(seed, vetted, plans, tmp_path / "run")
    assert broken == []
    assert 0 < reached < MUTATED / 2, "most damage must be noticed, and some harms nothing"


def test_a_file_that_is_read_twice_is_caught(plans: Plans, tmp_path: Path) -> None:
    """The fuzzer is worth something only if it finds the two mistakes that are easiest to make; this is one."""
    broken, _ = broken_by(0, reading_again, plans, tmp_path / "run")
    assert any("late: other bytes" in entry for entry in broken), broken


def test_a_sidecar_that_is_believed_is_caught(plans: Plans, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This is the other."""
    monkeypatch.setattr("export.sidecar.require_types", lambda *_: None)
    broken, _ = broken_by(0, believing_the_sidecar, plans, tmp_path / "run")
    assert any("sidecar_forged: TypeError" in entry for entry in broken), broken
