"""Commands that are killed or interrupted at any moment resume and end with the same scores."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from tests.forked_commands import ForkedCommand
from tests.signoff_run import DONE, GRADED, LENIENT, SignoffCase, write_case

if TYPE_CHECKING:
    from pathlib import Path

VARIANTS = ("--variants", "baseline", "q16-p50", "q8", "--backend", "onnxruntime", "tensorrt-rtx")


def start(case: SignoffCase, command: str) -> ForkedCommand:
    build = ["--checkpoint", case.checkpoint, "--calibration", case.calibration, "--out", case.out, *LENIENT, *VARIANTS]
    evaluate = [case.out, "--test", case.test]
    arguments = build if command == "engines" else evaluate
    # Sums depend on the number of threads, so both processes have as many.
    folder = case.out.with_name("told")
    return ForkedCommand(f"{command}.cli", [str(word) for word in arguments], folder, torch.get_num_threads())


def finish(case: SignoffCase) -> dict[str, bytes]:
    assert case.build(*VARIANTS) in DONE
    assert case.evaluate() in GRADED
    return {path.parent.name: path.read_bytes() for path in case.out.rglob("scores.csv")}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[SignoffCase, dict[str, bytes], float]:
    case = write_case(tmp_path_factory.mktemp("undisturbed"))
    assert ForkedCommand("engines.cli", ["--version"], case.out.with_name("told"), 1).ended() == 0  # all is imported
    started = time.monotonic()
    assert start(case, "engines").ended() in DONE
    duration = time.monotonic() - started
    return case, finish(case), duration


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_killed_builds_resume_with_the_same_scores(
    seed: int, undisturbed: tuple[SignoffCase, dict[str, bytes], float], tmp_path: Path
) -> None:
    case, expected, duration = undisturbed
    disturbed = SignoffCase(case.checkpoint, case.calibration, case.test, tmp_path / "run")
    for moment in np.random.default_rng(seed).uniform(0.05, 1.0, 2) * duration:
        process = start(disturbed, "engines")
        time.sleep(moment)
        process.kill()
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
    first = process.first_line()  # the work has begun
    process.interrupt()
    assert first.startswith("making")
    assert process.ended() == 2
    assert process.complained().strip() == (
        f"{'build' if command == 'engines' else 'evaluate'}-engines: error: interrupted; nothing is half-written, "
        "run the same command again to go on"
    )
    assert not [path for path in disturbed.out.rglob(".*") if path.name not in (".lock",)]
    assert finish(disturbed) == expected
