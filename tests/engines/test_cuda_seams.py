"""Both implementations of the CUDA seam, by the same scenarios against a fake driver."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from engines import cuda_driver
from engines.cuda_choice import open_cuda
from export.errors import BackendError
from tests.engines.cuda_scenarios import CHOICES, SCENARIOS

if TYPE_CHECKING:
    from collections.abc import Callable

_SOURCES = Path(__file__).parent / "fake_libcuda"
_ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def fake_driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the fake libcuda.so.1."""
    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.skip("gcc is not installed, which the fake driver needs")
    folder = tmp_path_factory.mktemp("libcuda")
    flags = ("-std=gnu11", "-O1", "-Wall", "-Wextra", "-shared", "-fPIC", "-Wl,-soname,libcuda.so.1")
    sources = sorted(str(file) for file in _SOURCES.glob("*.c"))
    command = [compiler, *flags, *sources, "-o", str(folder / "libcuda.so.1"), "-lpthread"]
    subprocess.run(command, check=True)
    return folder


@pytest.fixture(scope="session")
def outcomes(fake_driver: Path) -> Callable[[str], dict[str, str]]:
    """What each scenario of a seam came to, run once; a process of its own, whose only driver is the fake one."""
    found: dict[str, dict[str, str]] = {}

    def of(seam: str) -> dict[str, str]:
        if seam not in found:
            command = [sys.executable, "-m", "tests.engines.cuda_scenarios", seam]
            # NumPy must have no threads of its own where processes are forked.
            environment = {**os.environ, "LD_LIBRARY_PATH": str(fake_driver), "OPENBLAS_NUM_THREADS": "1"}
            run = subprocess.run(command, cwd=_ROOT, env=environment, capture_output=True, text=True, check=False)
            assert run.returncode == 0, run.stderr
            found[seam] = dict(json.loads(line) for line in run.stdout.splitlines())
        return found[seam]

    return of


def _names(scenarios: tuple[Callable[..., None], ...]) -> list[str]:
    return [scenario.__name__ for scenario in scenarios]


_NEEDS = {
    "cuda-python": pytest.mark.skipif(
        not (find_spec("cuda") and (find_spec("cuda.bindings") or find_spec("cuda.cuda"))),
        reason="cuda-python is not installed; cuda-bindings is enough",
    ),
    "PyCUDA": pytest.mark.skipif(
        find_spec("pycuda") is None, reason="PyCUDA is not installed; tests/engines/pycuda.sh builds it"
    ),
}


@pytest.mark.parametrize("scenario", _names(SCENARIOS))
@pytest.mark.parametrize("seam", [pytest.param(name, marks=mark) for name, mark in _NEEDS.items()])
def test_scenario(outcomes: Callable[[str], dict[str, str]], seam: str, scenario: str) -> None:
    assert outcomes(seam)[scenario] == ""


@pytest.mark.parametrize("scenario", _names(CHOICES))
def test_choice(outcomes: Callable[[str], dict[str, str]], scenario: str) -> None:
    assert outcomes("choice")[scenario] == ""


def test_no_driver_is_told_in_plain_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_driver, "LIBRARY", "libcuda-that-is-nowhere.so.1")
    with pytest.raises(BackendError, match=r"no NVIDIA driver is installed here .*--backend onnxruntime"):
        open_cuda()


@pytest.mark.parametrize(
    ("text", "version"),
    [
        (
            "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 01:15:15 UTC 2023\n"
            "GCC version:  gcc version 11.4.0 (Ubuntu 11.4.0-1ubuntu1~22.04)\n",
            "535.104.05",
        ),
        (
            "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build  (dvs-builder@U22)\n"
            "GCC version:  gcc version 13.3.0\n",
            "580.65.06",
        ),
        (
            "NVRM version: NVIDIA UNIX Open Kernel Module for aarch64  540.4.0  Release Build  (buildbrain@mobile)\n",
            "540.4.0",
        ),
        ("something else\n", ""),
    ],
)
def test_driver_version_is_read(tmp_path: Path, text: str, version: str) -> None:
    file = tmp_path / "version"
    file.write_text(text, encoding="utf-8")
    assert cuda_driver.driver_version(file) == version


def test_driver_version_may_be_unknown(tmp_path: Path) -> None:
    assert cuda_driver.driver_version(tmp_path / "none") == ""
