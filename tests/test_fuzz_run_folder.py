"""`evaluate-engines` on a run folder that was damaged or forged: the same scores, or one line and exit code 2."""

from __future__ import annotations

import json
import random
import secrets
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from export.sidecar import sidecar_path
from tests.engines.mutations import MUTATIONS, random_value, sidecar_forged
from tests.signoff_run import GRADED, SignoffCase, write_case

if TYPE_CHECKING:
    from pathlib import Path

MUTATED = 40
# Drawn anew in every run; a failure shows it, and the name is the same for all processes that share the tests.
FRESH = pytest.param(secrets.randbelow(1 << 32), id="fresh")


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> SignoffCase:
    case = write_case(tmp_path_factory.mktemp("evaluated"))
    assert case.build("--variants", "baseline", "q16", "--backend", "onnxruntime") == 0
    assert case.evaluate() in GRADED
    return case


def spec_forged(spec: Path, rng: random.Random) -> None:
    """Changes or removes an entry of the spec, of the calibration set or of the contract."""
    record = json.loads(spec.read_text(encoding="utf-8"))
    contract = json.loads(record["contract"])
    part = rng.choice((record, record["calibration"], contract, contract["input"]))
    key = rng.choice(list(part))
    if rng.randrange(4):
        part[key] = random_value(rng)
    else:
        del part[key]
    if part is contract or part is contract["input"]:
        record["contract"] = json.dumps(contract)
    spec.write_text(json.dumps(record), encoding="utf-8")


def spec_names_other_engines(spec: Path, rng: random.Random) -> None:
    """Lists engines under names that lead elsewhere."""
    record = json.loads(spec.read_text(encoding="utf-8"))
    names = ("../../etc/passwd", "q16/../baseline", "q8", "baseline", "")
    backends = ("onnxruntime", "../onnxruntime", "tensorrt", "")
    record["engines"] = [[rng.choice(names), rng.choice(backends)] for _ in range(rng.randrange(3))]
    record["engines"] += rng.choice(([], [["baseline", "onnxruntime"]], ["baseline"], [3], [[]], [[["a"], {}]]))
    spec.write_text(json.dumps(record), encoding="utf-8")


def damaged(out: Path, rng: random.Random) -> str:
    """Damages something of a run folder and says what."""
    if rng.randrange(3) == 0:
        change = rng.choice((spec_forged, spec_forged, spec_names_other_engines))
        change(out / "spec.json", rng)
        return change.__name__
    artifacts = [path for path in sorted(out.rglob("*")) if sidecar_path(path).is_file()]
    artifact, other = rng.sample(artifacts, 2)
    mutation = rng.choice((*MUTATIONS, sidecar_forged, sidecar_forged))
    mutation(artifact, other, rng)
    return f"{mutation.__name__} of {artifact.relative_to(out)}"


def scores(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("scores*.csv"))}


def broken_by(
    seed: int, evaluated: SignoffCase, folder: Path, capsys: pytest.CaptureFixture[str], most_broken: int = MUTATED
) -> tuple[list[str], list[int]]:
    """Returns what went wrong under random damage, as far as `most_broken`, and the exit codes."""
    rng = random.Random(seed)
    genuine = scores(evaluated.out)
    codes, broken = [], []
    for number in range(MUTATED):
        if len(broken) == most_broken:
            break
        case = replace(evaluated, out=folder)
        shutil.rmtree(case.out, ignore_errors=True)
        shutil.copytree(evaluated.out, case.out)
        label = f"{number}: {damaged(case.out, rng)}"
        try:
            codes.append(case.evaluate())
        except Exception as error:  # whatever it is, a user would see its traceback
            broken.append(f"{label}: {error!r}")
            continue
        told = [line for line in capsys.readouterr().err.splitlines() if "evaluate-engines: error: " in line]
        if (codes[-1], len(told)) != (2, 1) and (codes[-1] not in GRADED or scores(case.out) != genuine):
            broken.append(f"{label}: exit code {codes[-1]}, {told}")
    return broken, codes


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, FRESH])
def test_the_same_scores_or_one_line(
    seed: int, evaluated: SignoffCase, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken, codes = broken_by(seed, evaluated, tmp_path / "run", capsys)
    assert broken == []
    assert set(codes) & set(GRADED), "some damage harms nothing"
    assert codes.count(2) > MUTATED / 2


@pytest.mark.slow
def test_a_lenient_reader_is_caught(
    evaluated: SignoffCase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The fuzzer must be able to fail: this is how JSON is usually read."""
    monkeypatch.setattr("export.sidecar.json_from_file", lambda path: json.loads(path.read_text(encoding="utf-8")))
    broken, _ = broken_by(0, evaluated, tmp_path / "run", capsys, most_broken=1)
    assert broken
