from __future__ import annotations

import json
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import numpy_helper
from PIL import Image
from safetensors.torch import load_file
from scipy.special import expit
from sklearn.metrics import roc_auc_score

from engines.run_folder import RunFolder
from engines.spec import EngineSpec, read_spec, write_spec
from evaluate.scoring.frame_files import FRAMES_KIND
from evaluate.scoring.score_files import read_frame_scores, write_frame_scores
from export.checkpoints.network import module_from_contract
from export.model_file import contract_from_toml
from export.runners import TorchRunner
from export.sidecar import Artifact, make_artifact, read_artifact
from tests.evaluate.conftest import copied
from tests.signoff_run import GRADED

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from export.runner import Images
    from tests.signoff_run import SignoffCase

CUDA = "onnxruntime-cuda"


def ladders_of(case: SignoffCase) -> dict[str, list[dict[str, Any]]]:
    record = json.loads((case.out / "report/report.json").read_text(encoding="utf-8"))
    return {variant["name"]: variant["ladder"] for variant in record["variants"]}


class Outside:
    """The test set by PIL, torch, ONNX Runtime and scikit-learn, without any module of the project's evaluation."""

    def __init__(self, case: SignoffCase) -> None:
        self._case = case
        self._contract = contract_from_toml(case.checkpoint.with_name("model.toml"))
        paths = sorted(case.test.rglob("*.png"))
        images = []
        for path in paths:
            image = Image.open(path).resize((64, 64), Image.Resampling.BICUBIC)
            pixels = (np.asarray(image, np.float64) / 255 - self._contract.input.mean) / self._contract.input.std
            images.append(pixels.transpose(2, 0, 1).astype(np.float32))
        self._images = np.stack(images)
        self.videos = [path.parent.name for path in paths]
        self.is_fake = np.array(["synthesis" in str(path) for path in paths])

    def torch(self, weights: Path) -> np.ndarray:
        module = module_from_contract(self._contract)
        module.load_state_dict(load_file(weights))
        with torch.inference_mode():
            return module.eval()(torch.from_numpy(self._images)).double().numpy().ravel()

    def onnx(self, graph: Path) -> np.ndarray:
        session = onnxruntime.InferenceSession(str(graph), providers=["CPUExecutionProvider"])
        return session.run(None, {session.get_inputs()[0].name: self._images})[0].astype(np.float64).ravel()

    def steps(self, logits: list[np.ndarray], threshold: float) -> list[tuple[float, float, int, float | None]]:
        """Returns AUC, cost, flips and SQNR of stages, by loops."""
        names = sorted(set(self.videos))
        labels = [bool(self.is_fake[self.videos.index(name)]) for name in names]
        found: list[tuple[float, float, int, float | None]] = []
        scores: list[list[float]] = []
        for index, each in enumerate(logits):
            scores.append([float(np.mean(expit(each[[v == name for v in self.videos]]))) for name in names])
            auc = float(roc_auc_score(labels, scores[-1]))
            if index == 0:
                found.append((auc, 0.0, 0, None))
                continue
            flips = sum((a >= threshold) != (b >= threshold) for a, b in zip(scores[-2], scores[-1], strict=True))
            before = logits[index - 1]
            centred = before - np.where(self.is_fake, before[self.is_fake].mean(), before[~self.is_fake].mean())
            noise = float(np.mean((each - before) ** 2))
            sqnr = min(120.0, 10 * np.log10(float(np.mean(centred**2)) / noise)) if noise else None
            found.append((auc, found[-1][0] - auc, flips, sqnr))
        return found


def test_ladders_are_those_of_torch_and_onnx_runtime_by_themselves(laddered: SignoffCase) -> None:
    outside, out = Outside(laddered), laddered.out
    dense = outside.torch(laddered.checkpoint)
    expected = {
        "baseline": [dense, outside.onnx(out / "onnx/baseline.onnx")],
        "q16": [dense, outside.onnx(out / "onnx/baseline.onnx"), outside.onnx(out / "onnx/q16.onnx")],
        "q16-p50": [
            dense,
            outside.torch(out / "models/p50.safetensors"),
            outside.onnx(out / "onnx/q32-p50.onnx"),
            outside.onnx(out / "onnx/q16-p50.onnx"),
        ],
    }
    found = ladders_of(laddered)
    assert {name: [step["stage"] for step in steps] for name, steps in found.items()} == {
        "baseline": ["checkpoint", "ONNX"],
        "q16": ["checkpoint", "ONNX", "graph"],
        "q16-p50": ["checkpoint", "pruned", "ONNX", "graph"],
    }
    record = json.loads((out / "report/report.json").read_text(encoding="utf-8"))
    drift = next(variant["statistics"]["drift"] for variant in record["variants"] if variant["name"] == "q16-p50")
    for name, logits in expected.items():
        for step, (auc, cost, flips, sqnr) in zip(found[name], outside.steps(logits, drift["threshold"]), strict=True):
            assert step["auc"] == pytest.approx(auc, abs=1e-9)
            assert step["auc_cost"] == pytest.approx(cost, abs=1e-9)
            assert step["flips"] == flips
            # Where stages differ by rounding alone, the order of additions decides.
            if sqnr is not None and sqnr < 80:
                assert step["sqnr_db"] == pytest.approx(sqnr, abs=0.2)
            else:
                assert step["sqnr_db"] is None or step["sqnr_db"] > 75
    torch_version, ort_version = torch.__version__.partition("+")[0], onnxruntime.__version__
    assert [step["runner"] for step in found["q16"]] == [
        f"torch {torch_version} (CPU)",
        f"onnxruntime {ort_version} (CPU)",
        f"onnxruntime {ort_version} (CPU)",
    ]


def test_shared_stages_are_scored_once_and_engines_not_again(laddered: SignoffCase) -> None:
    stored = {path.name for path in (laddered.out / "results/ladder").glob("*.csv")}
    assert stored == {"dense.torch.csv", "p50.torch.csv", "q32-p50.onnxruntime.csv"}


def test_a_second_ladder_makes_nothing(laddered: SignoffCase, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.stat().st_mtime_ns for path in (laddered.out / "results").rglob("*") if path.is_file()}
    assert laddered.evaluate("--ladder") in GRADED
    assert "making" not in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in (laddered.out / "results").rglob("*") if path.is_file()} == before


def test_without_the_option_there_is_no_ladder(fresh: SignoffCase) -> None:
    assert fresh.evaluate() in GRADED
    assert set(map(len, ladders_of(fresh).values())) == {0}
    assert not (fresh.out / "results/ladder").exists()


def replaced(path: Path, write: Callable[[Path], None], **parents: str) -> Artifact:
    """Makes an artifact of other content with the recipe that it has, apart from some parents."""
    old = read_artifact(path)

    def written(temporary: Path) -> dict[str, Any]:
        write(temporary)
        return dict(old.facts)

    return make_artifact(path, replace(old.recipe, parents={**old.recipe.parents, **parents}), written)


def with_turned_classifier(graph: onnx.ModelProto) -> onnx.ModelProto:
    """Turns the sign of the classifier's weights: what is fake counts as real."""
    weight = next(i for i in graph.graph.initializer if "classifier" in i.name and len(i.dims) == 2)
    weight.CopyFrom(numpy_helper.from_array(-numpy_helper.to_array(weight), weight.name))
    return graph


def test_a_broken_graph_is_named(fresh: SignoffCase, laddered: SignoffCase) -> None:
    graph = with_turned_classifier(onnx.load(fresh.out / "onnx/q16.onnx"))
    made = replaced(fresh.out / "onnx/q16.onnx", lambda path: onnx.save(graph, path))
    replaced(fresh.out / "engines/q16.onnxruntime.onnx", lambda path: onnx.save(graph, path), onnx=made.sha256)
    assert fresh.evaluate("--ladder") in GRADED
    found, healthy = ladders_of(fresh), ladders_of(laddered)
    assert found["q16-p50"] == healthy["q16-p50"]
    assert found["q16"][:2] == healthy["q16"][:2]
    assert found["q16"][2]["sqnr_db"] < 10 < healthy["q16"][2]["sqnr_db"]
    assert found["q16"][2]["auc"] != healthy["q16"][2]["auc"]


def on_another_device(case: SignoffCase, shift: Callable[[np.ndarray], np.ndarray]) -> None:
    """As if a GPU had scored q16: its logits are those of the CPU, shifted."""
    run = RunFolder(case.out)
    spec = read_spec(run)
    variant = next(engine.variant for engine in spec.engines if engine.variant.name == "q16")
    engine = read_artifact(run.engine("q16", "onnxruntime", ".onnx"))
    copy = make_artifact(
        run.engine("q16", CUDA, ".onnx"),
        engine.recipe,
        lambda path: shutil.copy(engine.path, path) and dict(engine.facts),  # type: ignore[func-returns-value]
    )
    frames = read_artifact(run.frames("q16", "onnxruntime"))
    scores = read_frame_scores(frames.path)
    logits = shift(np.array([frame.logit for frame in scores]))
    moved = [replace(frame, logit=float(logit)) for frame, logit in zip(scores, logits, strict=True)]

    def write(path: Path) -> dict[str, Any]:
        write_frame_scores(path, moved)
        return {**frames.facts, "backend": "onnxruntime-cuda 1.99", "device": "Test GPU"}

    recipe = replace(frames.recipe, kind=FRAMES_KIND, parents={**frames.recipe.parents, "engine": copy.sha256})
    make_artifact(run.frames("q16", CUDA), recipe, write)
    write_spec(run, replace(spec, engines=(*spec.engines, EngineSpec(variant, CUDA))))


def test_a_broken_engine_is_named_and_runs_nowhere_but_on_its_device(
    laddered: SignoffCase, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case = copied(laddered, tmp_path)
    on_another_device(case, lambda logits: -logits)
    capsys.readouterr()
    assert case.evaluate("--backend", CUDA, "--from-scores", "--ladder") in GRADED
    told = capsys.readouterr().out
    steps = ladders_of(case)["q16"]
    assert steps[:3] == ladders_of(laddered)["q16"]
    assert (steps[3]["stage"], steps[3]["runner"]) == ("engine", "onnxruntime-cuda 1.99 (Test GPU)")
    assert steps[3]["auc"] == pytest.approx(1 - steps[2]["auc"])
    assert steps[3]["flips"] == 12  # every video
    # The graph was scored as the engine of ONNX Runtime before; nothing of it is scored again.
    assert "results/ladder" not in told


def test_a_graph_of_other_weights_is_refused(fresh: SignoffCase, capsys: pytest.CaptureFixture[str]) -> None:
    path = fresh.out / "onnx/q32-p50.onnx"
    replaced(path, lambda temporary: temporary.write_bytes(path.read_bytes()), weights="0" * 64)
    assert fresh.evaluate("--ladder") == 2
    told = capsys.readouterr().err
    assert "q32-p50.onnx was exported from other weights than" in told
    assert told.count("\n") == 1


def test_a_variant_of_another_fp32_graph_is_refused(fresh: SignoffCase, capsys: pytest.CaptureFixture[str]) -> None:
    graph = with_turned_classifier(onnx.load(fresh.out / "onnx/q32-p50.onnx"))
    replaced(fresh.out / "onnx/q32-p50.onnx", lambda path: onnx.save(graph, path))
    assert fresh.evaluate("--ladder") == 2
    assert "q16-p50.onnx was made from another graph than" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("batches", [1, 4])
def test_an_interrupted_ladder_goes_on_where_it_stopped(
    batches: int, fresh: SignoffCase, laddered: SignoffCase, monkeypatch: pytest.MonkeyPatch
) -> None:
    infer, seen = TorchRunner.infer, [0]

    def interrupted(self: TorchRunner, images: Images) -> np.ndarray:
        if seen[0] == batches:
            raise KeyboardInterrupt
        seen[0] += 1
        return infer(self, images)

    monkeypatch.setattr(TorchRunner, "infer", interrupted)
    assert fresh.evaluate("--ladder") == 2
    partial = [path.name for path in (fresh.out / "results/ladder").iterdir() if "partial" in path.name]
    assert partial == ["p50.torch.partial.csv" if batches > 3 else "dense.torch.partial.csv"]
    seen[0] = -100
    monkeypatch.setattr(TorchRunner, "infer", interrupted)
    assert fresh.evaluate("--ladder") in GRADED
    assert seen[0] == -100 + 6 - batches  # three batches of eight each for two models
    for path in (laddered.out / "results/ladder").glob("*.csv"):
        assert (fresh.out / "results/ladder" / path.name).read_bytes() == path.read_bytes()
    assert ladders_of(fresh) == ladders_of(laddered)


@pytest.mark.slow
def test_images_that_do_not_decode_are_left_out_of_every_stage(fresh: SignoffCase) -> None:
    victim = sorted(fresh.test.rglob("*.png"))[3]
    victim.write_bytes(victim.read_bytes()[:100])
    assert fresh.evaluate("--ladder", "--skip-unreadable") in GRADED
    for path in (fresh.out / "results/ladder").glob("*.csv"):
        assert len(read_frame_scores(path)) == 23
    steps = ladders_of(fresh)["q16"]
    assert [step["stage"] for step in steps] == ["checkpoint", "ONNX", "graph"]
    assert steps[1]["sqnr_db"] > 75
