"""Runs a command as a process of its own, so that its seconds and its peak memory are its own."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Finished:
    """How a process ended.

    Attributes:
        seconds: Wall time, which depends on what else the machine does.
        cpu_seconds: Time on all cores, its children's included.
        peak_mib: Largest resident set of the process or of one of its children.
        failure: Why it failed, in its own last words; empty if it succeeded.
    """

    seconds: float
    cpu_seconds: float
    peak_mib: float
    failure: str = ""

    @property
    def cost(self) -> dict[str, float]:
        """What it took, for JSON."""
        return {"seconds": self.seconds, "cpu_seconds": self.cpu_seconds, "peak_mib": self.peak_mib}


def run_measured(
    command: Sequence[str],
    log: Path,
    limit_seconds: float,
    environment: Mapping[str, str] | None = None,
    accepted: Sequence[int] = (0,),
) -> Finished:
    """Runs a command to its end or kills it at the limit; its output goes to `log`.

    Exit codes other than the accepted ones count as failures.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command,
            stdout=stream,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )
        timed_out = False
        try:
            waited, status, usage = os.wait4(process.pid, os.WNOHANG)
            while not waited:
                if not timed_out and time.monotonic() - started > limit_seconds:
                    timed_out = True
                    os.killpg(process.pid, signal.SIGKILL)
                time.sleep(_POLL_SECONDS)
                waited, status, usage = os.wait4(process.pid, os.WNOHANG)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
    # wait4 took the exit status from Popen, which would wait for it again.
    process.returncode = os.waitstatus_to_exitcode(status)
    failure = (
        f"stopped at its limit of {limit_seconds / 60:.0f} min"
        if timed_out
        else _failure(process.returncode, log, accepted)
    )
    return Finished(
        seconds=time.monotonic() - started,
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        peak_mib=usage.ru_maxrss / 1024,
        failure=failure,
    )


def _failure(code: int, log: Path, accepted: Sequence[int]) -> str:
    if code in accepted:
        return ""
    if code < 0:
        return f"the process died of signal {-code} ({signal.Signals(-code).name})"
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return lines[-1][:500] if lines else f"exit code {code} without a word"
