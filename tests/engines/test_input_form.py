"""Engines that take pixels: the stage converts the graph, whatever the backend."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest

from calibration.int8_recipe import Int8Recipe
from engines.backend import BuildOptions, backend_from_name
from engines.onnxruntime_backend import OnnxRuntimeBackend
from engines.run_folder import RunFolder
from engines.stages import StageInputs, Stages, _built_engine
from engines.store import ArtifactStore
from export.contract import InputContract
from export.errors import BackendError
from export.half_precision import fp16_from_fp32
from export.runners import OnnxRunner
from export.uint8_input import takes_uint8, with_uint8_input
from export.variant import variant_from_name
from pruning.recipe import PruningRecipe
from tests.detectors import contract_for_tests, write_checkpoint

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

UINT8 = BuildOptions(input_form="uint8")


CONTRACT = InputContract(64)


@pytest.fixture
def stages(tmp_path: Path) -> Stages:
    contract = contract_for_tests()
    checkpoint = write_checkpoint(tmp_path / "model", contract)
    run = RunFolder(tmp_path / "run")
    store = ArtifactStore(contract.network_json())
    return Stages(run, store, StageInputs(checkpoint, contract, None), Int8Recipe(), PruningRecipe())


class SpyingBackend(OnnxRuntimeBackend):
    """Remembers the graphs it was given; fails if told to."""

    def __init__(self, failure: BaseException | None = None) -> None:
        super().__init__()
        self.given: list[Path] = []
        self.failure = failure

    def build(self, onnx: Path, engine: Path, options: BuildOptions) -> Mapping[str, Any]:
        assert onnx.is_file()
        self.given.append(onnx)
        if self.failure is not None:
            raise self.failure
        return super().build(onnx, engine, options)


def test_engine_takes_pixels_and_scores_as_the_stored_graph(stages: Stages) -> None:
    backend, variant = SpyingBackend(), variant_from_name("q16")
    graph = stages.graph(variant)
    engine = stages.engine(variant, backend, UINT8)
    assert engine.facts["input"] == "uint8"
    assert engine.recipe.options["input_form"] == "uint8"
    assert takes_uint8(onnx.load(engine.path))
    assert not takes_uint8(onnx.load(graph.path))
    pixels = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    mean, std = np.array(stages.dense.contract.input.mean), np.array(stages.dense.contract.input.std)
    images = ((pixels / 255 - mean) / std).astype(np.float32).transpose(0, 3, 1, 2)
    with OnnxRunner(engine.path) as made, OnnxRunner(graph.path) as source:
        np.testing.assert_allclose(made.infer(pixels), source.infer(images), atol=1e-4)


def built(backend: SpyingBackend, model: onnx.ModelProto, folder: Path) -> Mapping[str, Any]:
    onnx.save(model, folder / "q16.onnx")
    (folder / "engines").mkdir(exist_ok=True)
    return _built_engine(backend, folder / "q16.onnx", folder / "engines" / "q16.engine", UINT8, CONTRACT)


def test_converted_graph_is_named_like_the_stored_one_and_gone_afterwards(
    fp32_model: onnx.ModelProto, tmp_path: Path
) -> None:
    backend = SpyingBackend()
    assert built(backend, fp32_model, tmp_path)["input"] == "uint8"
    assert [path.name for path in backend.given] == ["q16.onnx"]
    assert backend.given[0] != tmp_path / "q16.onnx"
    assert [path.name for path in (tmp_path / "engines").iterdir()] == ["q16.engine"]
    assert not takes_uint8(onnx.load(tmp_path / "q16.onnx"))


@pytest.mark.parametrize("failure", [BackendError("no"), KeyboardInterrupt()])
def test_nothing_is_left_of_a_failed_build(failure: BaseException, fp32_model: onnx.ModelProto, tmp_path: Path) -> None:
    backend = SpyingBackend(failure)
    with pytest.raises(type(failure)):
        built(backend, fp32_model, tmp_path)
    assert backend.given
    assert list((tmp_path / "engines").iterdir()) == []


def test_leftovers_of_a_killed_build_are_no_obstacle(fp32_model: onnx.ModelProto, tmp_path: Path) -> None:
    backend = SpyingBackend(BackendError("no"))
    with pytest.raises(BackendError):
        built(backend, fp32_model, tmp_path)
    leftover = backend.given[0]
    leftover.parent.mkdir()
    leftover.write_bytes(b"half a gra")
    built(SpyingBackend(), fp32_model, tmp_path)
    assert not leftover.parent.exists()


def test_form_is_part_of_an_engine_s_identity(stages: Stages) -> None:
    """ONNX Runtime's engines have no options of their own, and still each form is another engine."""
    backend, variant = SpyingBackend(), variant_from_name("baseline")
    keys = {}
    for form, expected_builds in (("float32", 1), ("uint8", 2), ("uint8", 2), ("float32", 3)):
        engine = stages.engine(variant, backend, BuildOptions(input_form=form))  # type: ignore[arg-type]
        assert len(backend.given) == expected_builds
        assert engine.facts["input"] == form
        assert takes_uint8(onnx.load(engine.path)) == (form == "uint8")
        keys[form] = engine.recipe.key
    assert keys["float32"] != keys["uint8"]
    told = json.loads(engine.path.with_name(engine.path.name + ".json").read_text(encoding="utf-8"))
    assert told["facts"]["input"] == "float32"


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_tensorrt_for_rtx_builds_it(precision: str, fp32_model: onnx.ModelProto, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx", reason="TensorRT for RTX has no wheel for this platform")
    model = fp32_model if precision == "fp32" else fp16_from_fp32(fp32_model)
    onnx.save(with_uint8_input(model, CONTRACT), tmp_path / "m.onnx")
    backend_from_name("tensorrt-rtx").build(tmp_path / "m.onnx", tmp_path / "m.plan", UINT8)
    assert (tmp_path / "m.plan").read_bytes()[:4] == b"vtrt"


def test_tensorrt_for_rtx_refuses_what_the_cast_first_avoids(fp32_model: onnx.ModelProto, tmp_path: Path) -> None:
    """The reason for the order of the nodes; if this builds one day, the order is free."""
    pytest.importorskip("tensorrt_rtx", reason="TensorRT for RTX has no wheel for this platform")
    model = with_uint8_input(fp32_model, CONTRACT)
    # The two nodes exchange what they do and keep their places.
    first, second = model.graph.node[0], model.graph.node[1]
    cast, transpose = list(first.attribute), list(second.attribute)
    first.op_type, second.op_type = second.op_type, first.op_type
    del first.attribute[:], second.attribute[:]
    first.attribute.extend(transpose)
    second.attribute.extend(cast)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, tmp_path / "m.onnx")
    with pytest.raises(BackendError, match=r"image/Cast.* has type UInt8"):
        backend_from_name("tensorrt-rtx").build(tmp_path / "m.onnx", tmp_path / "m.plan", UINT8)
