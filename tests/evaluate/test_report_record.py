from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from calibration.samples import SampleSet
from engines.backend import backend_from_name
from engines.run_folder import RunFolder
from engines.spec import EngineSpec, RunSpec
from engines.store import ArtifactStore
from evaluate import report_record
from evaluate.evaluated import EvaluatedVariant, evaluated_variants
from evaluate.maps.explanation import ScoredVariant
from evaluate.scores import ScoreSet
from evaluate.scoring.engine_files import current_engines
from evaluate.scoring.measuring import MeasuredEngine, measured_engines
from evaluate.scoring.request import EvaluationRequest
from evaluate.scoring.session import Session
from export.errors import ArtifactError
from export.sidecar import Artifact, Recipe, make_artifact, read_artifact
from export.variant import variant_from_name
from tests.detectors import contract_for_tests
from tests.evaluate.int8_reference import b5_record, unmeasured

if TYPE_CHECKING:
    from pathlib import Path

    from evaluate.record import EngineFile

Q8 = variant_from_name("q8")
SPEC = RunSpec(
    contract=contract_for_tests(),
    checkpoint="checkpoint.safetensors",
    checkpoint_sha256="0" * 64,
    engines=(EngineSpec(Q8, "onnxruntime"), EngineSpec(Q8, "tensorrt-rtx")),
    calibration=None,
)


def made(path: Path, content: str, parents: dict[str, str], facts: dict) -> Artifact:
    path.parent.mkdir(parents=True, exist_ok=True)

    def write(temporary: Path) -> dict:
        temporary.write_text(content, encoding="utf-8")
        return facts

    make_artifact(path, Recipe("test", parents, {"backend": {"package": "1.0"}}), write)
    return read_artifact(path)


def built(run: RunFolder, graph: Artifact, **built_from: str) -> Artifact:
    """Writes the engines of both backends and returns ONNX Runtime's."""
    engines = [
        made(
            run.engine("q8", name, backend_from_name(name).suffix),
            name,
            {"onnx": built_from.get(name, graph.sha256)},
            {},
        )
        for name in ("tensorrt-rtx", "onnxruntime")
    ]
    return engines[-1]


def files_of(run: RunFolder, graph: Artifact) -> tuple[EngineFile, ...]:
    engines = current_engines(run, SPEC, Q8, graph)
    entry = EvaluatedVariant(
        ScoredVariant(Q8, ScoreSet(()), ""), engines["onnxruntime"], graph, graph, graph, (), engines
    )
    return report_record._engine_files(run, entry)


def session_of(run: RunFolder) -> Session:
    return Session(
        EvaluationRequest(run.root, run.root),
        run,
        SPEC,
        backend_from_name("onnxruntime"),
        SampleSet(run.root, ()),
        ArtifactStore("{}"),
        lambda _: None,
    )


@pytest.mark.parametrize("int8", [b5_record(), unmeasured(b5_record())], ids=["searched", "by kind"])
def test_the_record_of_the_sidecar_reads_back_equal(tmp_path: Path, int8: object) -> None:
    facts = {"int8": json.loads(json.dumps(int8.to_dict()))}  # type: ignore[attr-defined]
    assert report_record._int8_record(made(tmp_path / "q8.onnx", "graph", {}, facts)) == int8


def test_a_graph_without_int8_has_no_record(tmp_path: Path) -> None:
    assert report_record._int8_record(made(tmp_path / "q16.onnx", "graph", {}, {"parity": {}})) is None


def test_a_damaged_record_is_refused_with_the_place(tmp_path: Path) -> None:
    facts = {"int8": {**b5_record().to_dict(), "flipped": "many"}}
    with pytest.raises(ArtifactError, match=r"Int8Record\.flipped is 'many'; expected int"):
        report_record._int8_record(made(tmp_path / "q8.onnx", "graph", {}, facts))


def test_an_engine_of_an_earlier_graph_is_not_reported(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    graph = made(run.onnx("q8"), "graph", {}, {})
    built(run, graph)
    assert [engine.backend for engine in files_of(run, graph)] == ["onnxruntime 1.0", "tensorrt-rtx 1.0"]
    built(run, graph, **{"tensorrt-rtx": "f" * 64})
    assert [engine.backend for engine in files_of(run, graph)] == ["onnxruntime 1.0"]


def test_an_engine_of_an_earlier_graph_is_not_scored(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    graph = made(run.onnx("q8"), "graph", {}, {})
    built(run, graph, onnxruntime="f" * 64)
    with pytest.raises(ArtifactError, match="was built from another graph"):
        measured_engines(session_of(run))


def test_scores_of_an_engine_of_an_earlier_graph_are_not_reported(tmp_path: Path) -> None:
    """On a device without the graphs such an engine is scored."""
    run = RunFolder(tmp_path)
    graph = made(run.onnx("q8"), "graph", {}, {})
    engine = built(run, graph, onnxruntime="f" * 64)
    with pytest.raises(ArtifactError, match="was built from another graph"):
        evaluated_variants(session_of(run), [MeasuredEngine(Q8, engine, frames=graph)])


def test_what_a_backend_measured_of_an_engine_is_reported(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    graph = made(run.onnx("q8"), "graph", {}, {})
    built(run, graph)
    facts = {"download_bytes": 77, "sparsity": {"eligible": 12, "picked": 0}}
    made(run.engine("q8", "tensorrt-rtx", ".plan"), "plan", {"onnx": graph.sha256}, facts)
    plain, measured = files_of(run, graph)
    assert (plain.download_bytes, plain.sparse_eligible, plain.sparse_picked) == (None, None, None)
    assert (measured.download_bytes, measured.sparse_eligible, measured.sparse_picked) == (77, 12, 0)
