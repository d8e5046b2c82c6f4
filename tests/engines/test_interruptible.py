from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from engines.interruptible import interruptible
from export.errors import BackendError

ROOT = Path(__file__).parents[2]


def test_results_and_errors_come_through() -> None:
    assert interruptible(lambda: 3, None) == 3

    def fail() -> None:
        raise BackendError("told")

    with pytest.raises(BackendError, match="told"):
        interruptible(fail, None)


def test_ctrl_c_stops_what_can_be_stopped_and_waits_for_it() -> None:
    stop, done = threading.Event(), []

    def work() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.wait(60)
        done.append(True)

    with pytest.raises(KeyboardInterrupt):
        interruptible(work, stop.set)
    assert done == [True]


def test_ctrl_c_leaves_behind_what_cannot_be_stopped() -> None:
    """The call never returns, as a build of TensorRT 8.6 does not for minutes; cleaning up comes first all the same."""
    script = """
import atexit, os, signal, threading
from engines.interruptible import interruptible
from export.command import run_command

atexit.register(print, "the interpreter shut down under the call")

def work():
    os.kill(os.getpid(), signal.SIGINT)
    threading.Event().wait()

def command():
    try:
        return interruptible(work, None)
    finally:
        print("cleaned up")

raise SystemExit(run_command("build-engines", command))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 2
    assert done.stdout == "cleaned up\n"
    assert done.stderr == (
        "build-engines: error: interrupted; nothing is half-written, run the same command again to go on\n"
    )
