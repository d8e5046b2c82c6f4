"""The adapter against the real TensorRT 8.6.0, in an environment of its own, up to the point where a GPU is needed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
VARIABLE = "SIGNOFF_TENSORRT86_PYTHON"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    """What the probe says, once for all tests: importing TensorRT maps more than a gigabyte."""
    interpreter = os.environ.get(VARIABLE, "")
    if not interpreter:
        pytest.skip(f"{VARIABLE} names no interpreter with TensorRT 8.6.0; `make tensorrt86` makes one")
    assert shutil.which(interpreter), f"{VARIABLE}={interpreter} is no program"
    done = subprocess.run(
        [interpreter, "-m", "tests.engines.tensorrt86_probe"],
        cwd=ROOT,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_it_is_weakly_typed_with_explicit_batch_and_without_progress(found: dict[str, Any]) -> None:
    assert found["name"] == "TensorRT 8.6.0"
    assert found["kind"] == [False, False, False]
    assert found["network_flags"] == found["explicit_batch"] == 1


def test_only_precisions_of_the_graph_are_allowed_and_obeyed(found: dict[str, Any]) -> None:
    fp16, int8, obey = (found["flags"][name] for name in ("FP16", "INT8", "OBEY_PRECISION_CONSTRAINTS"))
    assert found["typing_flags"] == {"FP32": [obey], "FP16": [fp16, obey], "INT8": [fp16, int8, obey]}


def test_its_own_kernels_are_used_alone(found: dict[str, Any]) -> None:
    assert found["tactics"] == ["EDGE_MASK_CONVOLUTIONS", "JIT_CONVOLUTIONS"]


def test_it_has_what_a_build_calls(found: dict[str, Any]) -> None:
    for key in ("left_alone", "asked_of_configurations", "asked_of_engines", "asked_of_others"):
        assert all(found[key]), key
    assert not found["parser_errors_name_nodes"], "the fake module says that 8.6 tells the index of a node only"


def test_options_are_refused_as_for_any_classic_tensorrt(found: dict[str, Any]) -> None:
    assert found["refusals"].pop("--sm").startswith("--sm is unsupported by TensorRT 8.6.0")
    assert found["refusals"] == {"--version-compatible": "", "--hardware-compatible": ""}


def test_a_missing_driver_is_one_line_with_a_remedy(found: dict[str, Any]) -> None:
    """Without any driver the error is 35; where there is one, hiding its GPUs makes it 100."""
    told = found["builder"]
    assert told.startswith("TensorRT 8.6.0 cannot start a build here (")
    assert "CUDA initialization failure with error" in told
    assert "what to do: no " in told
    assert "\n" not in told


def test_the_adapter_loads_nothing_heavy(found: dict[str, Any]) -> None:
    assert found["heavy"] in ([], ["numpy"]), "TensorRT may load numpy itself"
