"""Commands that are killed or interrupted at any moment resume and end with the same scores."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.signoff_run import DONE, GRADED, LENIENT, SignoffCase, write_case

ROOT = Path(__file__).parents[1]
VARIANTS = ("--variants", "baseline", "q16-p50", "q8", "--backend", "onnxruntime", "tensorrt-rtx")


def accept_interrupts() -> None:
    """A shell starts background jobs with SIGINT ignored, and children inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start(case: SignoffCase, command: str) -> subprocess.Popen[str]:
    build = ["--checkpoint", case.checkpoint, "--calibration", case.calibration, "--out", case.out, *LENIENT, *VARIANTS]
    evaluate = [case.out, "--test", case.test]
    arguments = build if command == "engines" else evaluate
    return subprocess.Popen(
        [sys.executable, "-m", f"{command}.cli", *map(str, arguments)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Sums depend on the number of threads, so both processes have as many.
        env={key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
        | {"OMP_NUM_THREADS": str(torch.get_num_threads())},
        preexec_fn=accept_interrupts,
    )


def finish(case: SignoffCase) -> dict[str, bytes]:
    assert case.build(*VARIANTS) in DONE
    assert case.evaluate() in GRADED
    return {path.parent.name: path.read_bytes() for path in case.out.rglob("scores.csv")}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[SignoffCase, dict[str, bytes], float]:
    case = write_case(tmp_path_factory.mktemp("undisturbed"))
    started = time.monotonic()
    process = start(case, "engines")
    process.communicate(timeout=120)
    assert process.returncode in DONE
    duration = time.monotonic() - started
    return case, finish(case), duration


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_killed_builds_resume_with_the_same_scores(
    seed: int, undisturbed: tuple[SignoffCase, dict[str, bytes], float], tmp_path: Path
) -> None:
    case, expected, duration = undisturbed
    disturbed = SignoffCase(case.checkpoint, case.calibration, case.test, tmp_path / "run")
    for moment in np.random.default_rng(seed).uniform(0.3, 1.0, 2) * duration:
        process = start(disturbed, "engines")
        time.sleep(moment)
        process.kill()
        process.communicate(timeout=60)
    assert finish(disturbed) == expected


@pytest.mark.slow
@pytest.mark.parametrize("command", ["engines", "evaluate"])
def test_interrupted_commands_say_how_to_go_on(
    command: str, undisturbed: tuple[SignoffCase, dict[str, bytes], float], tmp_path: Path
) -> None:
    case, expected, _ = undisturbed
    disturbed = SignoffCase(case.checkpoint, case.calibration, case.test, tmp_path / "run")
    if command == "evaluate":
        assert disturbed.build(*VARIANTS) in DONE
    process = start(disturbed, command)
    assert process.stdout is not None
    first = process.stdout.readline()  # the work has begun
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert first.startswith("making")
    assert process.returncode == 2
    assert told.strip() == (
        f"{'build' if command == 'engines' else 'evaluate'}-engines: error: interrupted; nothing is half-written, "
        "run the same command again to go on"
    )
    assert not [path for path in disturbed.out.rglob(".*") if path.name not in (".lock",)]
    assert finish(disturbed) == expected
