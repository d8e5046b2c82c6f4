from __future__ import annotations

import configparser
import errno
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from export.command import WORKSTATION_PACKAGES, CommandParser, run_command
from export.errors import SignoffError

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]


def raising(error: BaseException) -> Callable[[], int]:
    def command() -> int:
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (SignoffError("got a\nexpected b"), "got a expected b"),
        (KeyboardInterrupt(), "run the same command again"),
        (ModuleNotFoundError("No module named 'onnx'", name="onnx"), "onnx is not installed; run: pip install 'engine"),
        (OSError(errno.ENOSPC, "No space left on device", "/x/y"), "/x/y: the disk is full"),
        (OSError(errno.EACCES, "Permission denied"), "permission denied"),
    ],
)
def test_mendable_errors_are_one_line_and_code_2(
    error: BaseException, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command("build-engines", raising(error)) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("build-engines: error: ")
    assert told in captured.err
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize("options", [[], ["--size", "x"], ["--size", "1", "--sice", "2"]])
def test_mistyped_options_are_one_line_and_code_2(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    parser = CommandParser("build-engines", "Builds.", "example:\n  build-engines --size 1")
    parser.add_argument("--size", type=int, required=True)
    with pytest.raises(SystemExit) as stopped:
        parser.parse_args(options)
    captured = capsys.readouterr()
    assert stopped.value.code == 2
    assert captured.out == ""
    assert captured.err.startswith("build-engines: error: ")
    assert captured.err.endswith(" (see build-engines --help)\n")
    assert captured.err.count("\n") == 1


def test_the_packages_of_a_workstation_are_those_of_its_extra() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    extra = setup["options.extras_require"]["workstation"].split()
    assert frozenset(re.split("[<>=,]", requirement)[0] for requirement in extra) == WORKSTATION_PACKAGES


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("bug"),
        OSError(errno.EIO, "disk on fire"),
        ModuleNotFoundError("No module named 'torch.moved'", name="torch.moved"),
        ModuleNotFoundError("No module named 'engines.gone'", name="engines.gone"),
    ],
)
def test_other_errors_keep_their_traceback(error: Exception) -> None:
    with pytest.raises(type(error)):
        run_command("build-engines", raising(error))


def test_exit_code_passes_through() -> None:
    assert run_command("x", lambda: 3) == 3


def test_a_reader_that_has_seen_enough_ends_a_command_quietly() -> None:
    script = (
        "import sys; from export.command import run_command\n"
        "sys.exit(run_command('x', lambda: [print('line', flush=True) for _ in range(100_000)] and 0))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    ) as command:
        assert command.stdout is not None
        assert command.stderr is not None
        assert command.stdout.readline() == "line\n"
        command.stdout.close()
        assert command.stderr.read() == ""
    assert command.returncode == 141
