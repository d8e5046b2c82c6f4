"""Answers of R's packages, where they are installed."""

from __future__ import annotations

import shutil
import subprocess

import pytest


def r_answer(package: str, script: str) -> str:
    """Returns what a script prints that needs a package; skips the test where R or the package is not there."""
    command = shutil.which("Rscript")
    if command is None:
        pytest.skip("R is not installed")
    script = (
        f"if (!suppressMessages(require({package}, quietly=TRUE, warn.conflicts=FALSE))) quit(status=9)\n"
        "options(digits=17)\n" + script
    )
    done = subprocess.run([command, "--vanilla", "-"], input=script, capture_output=True, text=True, check=False)
    if done.returncode == 9:
        pytest.skip(f"R's package {package} is not installed")
    assert done.returncode == 0, done.stderr
    return done.stdout
