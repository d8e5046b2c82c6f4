"""NVIDIA ModelOpt in a virtual environment of its own: it pins other releases of ONNX and ONNX Runtime than ours."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

from export.errors import BackendError
from peers.processes import run_measured

if TYPE_CHECKING:
    from pathlib import Path

REQUIREMENT = "nvidia-modelopt[onnx]"
_PACKAGES = ("nvidia-modelopt", "onnxruntime-gpu", "onnxruntime", "onnx", "onnx-graphsurgeon", "numpy", "torch")
_INSTALL_SECONDS = 3600.0
_VERSIONS = """
import json, sys
from importlib import metadata
import modelopt.onnx.quantization
found = {name: [d.version for d in metadata.distributions(name=name)] for name in sys.argv[1:]}
print(json.dumps({name: versions[0] for name, versions in found.items() if versions}))
"""


def modelopt_python(venv: Path) -> Path:
    """Returns the interpreter of a virtual environment that can import ModelOpt, made where there is none.

    Raises:
        BackendError: The packages cannot be installed or imported.
    """
    python = venv / "bin" / "python"
    if python.is_file() and _imports(python):
        return python
    print(f"installing {REQUIREMENT} into {venv.name}: several gigabytes, minutes to an hour", flush=True)
    log = venv.with_name(f"{venv.name}.log")
    commands = (
        [sys.executable, "-m", "venv", "--clear", str(venv)],
        [str(python), "-m", "pip", "install", "--disable-pip-version-check", REQUIREMENT],
    )
    for command in commands:
        finished = run_measured(command, log, _INSTALL_SECONDS)
        if finished.failure:
            raise BackendError(f"{REQUIREMENT} cannot be installed: {finished.failure}")
    if not _imports(python):
        raise BackendError(f"{REQUIREMENT} is installed but cannot be imported: {_version_query(python).stderr[-300:]}")
    return python


def modelopt_versions(python: Path) -> dict[str, str]:
    """Returns the versions of what ModelOpt computes with."""
    versions: dict[str, str] = json.loads(_version_query(python).stdout.splitlines()[-1])
    return versions


def _imports(python: Path) -> bool:
    return _version_query(python).returncode == 0


def _version_query(python: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([python, "-c", _VERSIONS, *_PACKAGES], capture_output=True, text=True, check=False)
