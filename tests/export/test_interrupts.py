from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from export.errors import SignoffError
from export.interrupts import careful_interrupts

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

ROOT = Path(__file__).parents[2]
# Presses Ctrl-C at random moments in which a pool is started, filled, read and left, until it hangs or time is up.
STRESS = """
import os, random, signal, sys, time
from concurrent.futures import ThreadPoolExecutor
from export.interrupts import careful_interrupts

command, until = os.getpid(), time.monotonic() + float(sys.argv[1])
signal.signal(signal.SIGUSR1, signal.SIG_IGN)
if os.fork() == 0:
    pause = random.Random()
    while os.getppid() == command:
        os.kill(command, signal.SIGUSR1)
        time.sleep(pause.uniform(0, 0.004))
    os._exit(0)

inside = False
def press(number, frame):
    global inside
    if inside:
        inside = False  # once per pool
        signal.getsignal(signal.SIGINT)(number, frame)

presses = 0
signal.signal(signal.SIGUSR1, press)
while time.monotonic() < until:
    try:
        with careful_interrupts():
            inside = True
            with ThreadPoolExecutor(2) as pool:
                while True:
                    list(pool.map(int, range(24)))
    except KeyboardInterrupt:
        presses += 1
signal.signal(signal.SIGUSR1, signal.SIG_IGN)
print(presses)
"""


def carefully(work: Callable[[], None]) -> None:
    with careful_interrupts():
        work()


def press() -> None:
    """Ctrl-C."""
    os.kill(os.getpid(), signal.SIGINT)


def test_ctrl_c_raises_at_once_in_other_code() -> None:
    done: list[bool] = []

    def work() -> None:
        press()
        done.append(True)

    with pytest.raises(KeyboardInterrupt):
        carefully(work)
    assert not done


def test_ctrl_c_reaches_a_thread_that_waits() -> None:
    def work() -> None:
        threading.Timer(0.05, press).start()
        threading.Event().wait(60)

    with pytest.raises(KeyboardInterrupt):
        carefully(work)


def test_an_import_is_finished_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "disturbed_package.py").write_text(
        "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(0.1)\ncomplete = True\n"
    )
    monkeypatch.syspath_prepend(tmp_path)

    def work() -> None:
        import_module("disturbed_package")
        time.sleep(60)

    with pytest.raises(KeyboardInterrupt):
        carefully(work)
    assert sys.modules["disturbed_package"].complete


def test_ctrl_c_in_a_finalizer_is_not_lost(capsys: pytest.CaptureFixture[str]) -> None:
    class Disturbed:
        def __del__(self) -> None:
            press()

    def work() -> None:
        Disturbed()
        time.sleep(60)

    with pytest.raises(KeyboardInterrupt):
        carefully(work)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("disturbed", [True, False])
def test_what_a_library_says_of_ctrl_c_is_ctrl_c(disturbed: bool) -> None:
    def work() -> None:
        try:
            if disturbed:
                press()
        finally:
            raise SignoffError("x.safetensors is damaged; copy it again")

    with pytest.raises(KeyboardInterrupt if disturbed else SignoffError):
        carefully(work)


def test_all_is_as_before_afterwards() -> None:
    def told(_number: int, _frame: FrameType | None) -> None:
        pass

    usual = (signal.signal(signal.SIGALRM, told), signal.setitimer(signal.ITIMER_REAL, 60))
    before = (signal.getsignal(signal.SIGINT), sys.unraisablehook)

    def work() -> None:
        assert signal.getsignal(signal.SIGINT) != before[0]
        threading.Timer(0.05, press).start()  # a wait of the main thread: the timer is borrowed
        threading.Event().wait(60)

    try:
        with pytest.raises(KeyboardInterrupt):
            carefully(work)
        assert (signal.getsignal(signal.SIGINT), sys.unraisablehook) == before
        assert signal.getsignal(signal.SIGALRM) is told
        assert 50 < signal.getitimer(signal.ITIMER_REAL)[0] <= 60
    finally:
        signal.signal(signal.SIGALRM, usual[0])
        signal.setitimer(signal.ITIMER_REAL, *usual[1])


def test_ctrl_c_that_is_ignored_stays_so() -> None:
    usual = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with careful_interrupts():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
            press()
    finally:
        signal.signal(signal.SIGINT, usual)


def test_pools_are_left_whatever_the_moment() -> None:
    done = subprocess.run(
        [sys.executable, "-c", STRESS, "5"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    assert int(done.stdout) > 3
    assert done.stderr == ""
