"""A run of one tiny engine, and the benchmarks' folder on the path."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from engines.backend import BuildOptions, backend_from_name
from engines.run_folder import RunFolder
from engines.spec import EngineSpec, RunSpec, write_spec
from export.sidecar import Recipe, make_artifact
from export.variant import variant_from_name
from tests.detectors import contract_for_tests

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))


@pytest.fixture
def run(fp32_model: onnx.ModelProto, tmp_path: Path) -> RunFolder:
    run, backend = RunFolder(tmp_path / "run"), backend_from_name("onnxruntime")
    graph = tmp_path / "graph.onnx"
    onnx.save(fp32_model, graph)
    path = run.engine("baseline", backend.name, backend.suffix)
    make_artifact(path, Recipe("engine", {"onnx": "0" * 64}), lambda made: backend.build(graph, made, BuildOptions()))
    engines = (EngineSpec(variant_from_name("baseline"), backend.name),)
    write_spec(run, RunSpec(contract_for_tests(), "c.safetensors", "0" * 64, engines, None))
    return run
