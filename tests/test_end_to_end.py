"""From a checkpoint to a report by the two commands, on a small network."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from sklearn.metrics import confusion_matrix, roc_auc_score

from engines.cli import main as build_engines
from evaluate.cli import main as evaluate_engines
from export.checkpoints.network import module_from_contract
from export.model_file import contract_from_toml
from export.sidecar import sidecar_path
from export.variant import DEFAULT_VARIANTS
from tests.celeb_df_tree import write_tree
from tests.detectors import contract_for_tests, write_checkpoint
from tests.signoff_run import DONE, GRADED, LENIENT, SignoffCase
from tests.test_readme import commands

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> SignoffCase:
    """A run in a folder that is laid out as README has it."""
    folder = tmp_path_factory.mktemp("end_to_end")
    case = SignoffCase(
        checkpoint=write_checkpoint(folder, contract_for_tests()).rename(folder / "b5.safetensors"),
        calibration=write_tree(folder / "data/calibration", first_identity=0),
        test=write_tree(folder / "data/test", first_identity=100),
        out=folder / "runs/b5",
    )
    assert case.build() in DONE
    assert case.evaluate() in GRADED
    return case


@pytest.fixture(scope="module")
def record(case: SignoffCase) -> dict:
    return json.loads((case.out / "report/report.json").read_text(encoding="utf-8"))


def scores_of(case: SignoffCase, variant: str) -> tuple[list[str], np.ndarray, np.ndarray]:
    with (case.out / "results" / variant / "scores.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    labels = np.array([int(row["label"]) for row in rows])
    return [row["sample"] for row in rows], labels, np.array([float(row["score"]) for row in rows])


def test_report_has_the_default_rows_in_order(record: dict) -> None:
    assert [variant["name"] for variant in record["variants"]] == list(DEFAULT_VARIANTS)


@pytest.mark.parametrize("index", range(len(DEFAULT_VARIANTS)))
def test_metrics_are_those_of_scikit_learn_on_the_stored_scores(index: int, case: SignoffCase, record: dict) -> None:
    variant = record["variants"][index]
    _, labels, scores = scores_of(case, variant["name"])
    assert variant["auc"] == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    tn, fp, fn, tp = confusion_matrix(labels, scores >= 0.5, labels=[0, 1]).ravel()
    assert variant["confusion"] == {"tp": tp, "tn": tn, "fp": fp, "fn": fn}


def test_baseline_scores_are_those_of_the_checkpoint(case: SignoffCase) -> None:
    """Recomputed with PIL, torch and a dictionary, without any of the stages."""
    contract = contract_from_toml(case.checkpoint.with_name("model.toml"))
    module = module_from_contract(contract)
    module.load_state_dict(load_file(case.checkpoint))
    module.eval()
    expected: dict[str, list[float]] = {}
    for path in sorted(case.test.rglob("*.png")):
        image = Image.open(path).resize((64, 64), Image.Resampling.BICUBIC)
        array = (np.asarray(image, np.float64) / 255 - contract.input.mean) / contract.input.std
        with torch.inference_mode():
            logit = module(torch.from_numpy(array.transpose(2, 0, 1)[None].astype(np.float32)))
        expected.setdefault(path.parent.name + ".mp4", []).append(float(torch.sigmoid(logit)))
    names, labels, scores = scores_of(case, "baseline")
    assert names == sorted(expected)
    assert [int(len(re.findall("id", name)) == 2) for name in names] == labels.tolist()
    np.testing.assert_allclose(scores, [np.mean(expected[name]) for name in names], atol=1e-4)


def test_every_link_of_the_report_opens(case: SignoffCase) -> None:
    text = (case.out / "report/report.md").read_text(encoding="utf-8")
    links = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", text)
    assert len(links) > 6 * 5
    for link in links:
        with Image.open(case.out / "report" / link) as image:
            image.verify()


def test_engines_exist_for_both_backends(case: SignoffCase, record: dict) -> None:
    for variant in record["variants"]:
        files = {engine["file"]: engine["size_bytes"] for engine in variant["engines"]}
        assert set(files) == {
            f"engines/{variant['name']}.onnxruntime.onnx",
            f"engines/{variant['name']}.tensorrt-rtx.plan",
        }
        assert all((case.out / file).stat().st_size == size for file, size in files.items())


def test_simulated_rows_say_so(record: dict) -> None:
    simulated = {variant["name"]: bool(variant["simulation"]) for variant in record["variants"]}
    assert simulated == {name: not (name == "baseline" or name.startswith("q32")) for name in DEFAULT_VARIANTS}


def snapshot(case: SignoffCase) -> dict[str, bytes]:
    paths = [path for path in sorted(case.out.rglob("*")) if path.is_file() and "report" not in path.parts]
    return {str(path): path.read_bytes() for path in paths}


def test_second_run_makes_nothing(case: SignoffCase, capsys: pytest.CaptureFixture[str]) -> None:
    before = snapshot(case)
    assert case.build() in DONE
    assert case.evaluate() in GRADED
    assert "making" not in capsys.readouterr().out
    assert snapshot(case) == before


def test_the_two_verbs_of_the_readme_run_as_written_and_ask_for_this_run(
    case: SignoffCase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a folder that holds what the commands name; all that they need is there, so they must ask for the same."""
    folder = tmp_path / "copy"
    shutil.copytree(case.checkpoint.parent, folder)
    (folder / "runs/b5/report/report.md").unlink()
    monkeypatch.chdir(folder)
    verbs = {"build-engines": build_engines, "evaluate-engines": evaluate_engines}
    typed = [command for command in commands() if command[0] in verbs]
    assert [command[0] for command in typed] == list(verbs)
    for name, *arguments in typed:
        # Random weights stand no pruning, which the run was asked to accept.
        assert verbs[name]([*arguments, *(LENIENT if name == "build-engines" else ())]) in GRADED
    assert "making" not in capsys.readouterr().out
    assert (folder / "runs/b5/report/report.md").is_file()


def test_dry_run_lists_every_artifact_and_writes_nothing(
    case: SignoffCase, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    elsewhere = SignoffCase(case.checkpoint, case.calibration, case.test, tmp_path / "run")
    assert elsewhere.build("--dry-run") == 0
    told = capsys.readouterr().out
    assert not elsewhere.out.exists()
    made = [path for path in case.out.rglob("*") if sidecar_path(path).is_file() and "results" not in path.parts]
    assert len(made) == told.count("would be made") == len(told.strip().splitlines())
    assert case.build("--dry-run") == 0
    assert capsys.readouterr().out.count("reused") == len(made)


@pytest.fixture
def kept(case: SignoffCase) -> Iterator[dict[str, bytes]]:
    """Puts the run folder back as it was after a test that damages it."""
    before = snapshot(case)
    yield before
    for name, content in before.items():
        Path(name).write_bytes(content)


@pytest.mark.parametrize(
    "victim",
    ["engines/q16.onnxruntime.onnx", "results/q16/scores.csv", "results/q16/frames.onnxruntime.csv", "onnx/q8.onnx"],
)
def test_edited_files_stop_the_command_that_needs_them(
    victim: str, case: SignoffCase, kept: dict[str, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    path = case.out / victim
    path.write_bytes(path.read_bytes() + b" ")
    code = case.build() if victim.startswith("onnx") else case.evaluate()
    assert code == 2
    captured = capsys.readouterr().err
    assert path.name in captured
    assert "delete it" in captured
    assert captured.count("\n") == 1


@pytest.mark.parametrize("victim", ["onnx/q16.onnx", "engines/q8.tensorrt-rtx.plan.json", "calibration/q8.table"])
def test_deleted_files_are_made_again(victim: str, case: SignoffCase, kept: dict[str, bytes]) -> None:
    expected = [scores_of(case, name)[2] for name in DEFAULT_VARIANTS]
    (case.out / victim).unlink()
    assert case.build() in DONE
    assert case.evaluate() in GRADED
    for name, scores in zip(DEFAULT_VARIANTS, expected, strict=True):
        np.testing.assert_array_equal(scores_of(case, name)[2], scores)


def test_deleted_heatmap_is_drawn_again(case: SignoffCase, kept: dict[str, bytes]) -> None:
    heatmap = next((case.out / "results/q8/result").rglob("*.jpg"))
    before = heatmap.read_bytes()
    heatmap.unlink()
    assert case.evaluate() in GRADED
    assert heatmap.read_bytes() == before
