"""Every layout of data sets, from the folder or the list as people have it to the report, by the two commands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from calibration.datasets.prepared import PreparedRecord, write_prepared
from engines.cli import main as build_engines
from engines.run_folder import RunFolder
from engines.spec import read_spec
from evaluate.cli import main as evaluate_engines
from evaluate.scoring.score_files import read_frame_scores
from export.face_contract import FaceContract
from export.model_file import toml_from_contract
from export.sidecar import read_json
from tests.detectors import TINY, contract_for_tests, write_checkpoint
from tests.layout_trees import LAYOUTS, PEOPLE, LayoutCase, manifest
from tests.signoff_run import GRADED

if TYPE_CHECKING:
    from pathlib import Path

    import onnx

VARIANTS = ("baseline", "q16")


@dataclass(frozen=True)
class Run:
    """A checkpoint and a run folder that all layouts share, because no engine depends on the data."""

    checkpoint: Path
    out: Path

    def build(self, *options: str) -> int:
        paths = ("--checkpoint", str(self.checkpoint), "--out", str(self.out))
        return build_engines([*paths, "--backend", "onnxruntime", "--variants", *VARIANTS, *options])

    def evaluate(self, *options: str) -> int:
        return evaluate_engines([str(self.out), *options])


@pytest.fixture(scope="module")
def run(_exported: onnx.ModelProto, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("run")
    run = Run(write_checkpoint(folder / "model", contract_for_tests(TINY, 64)), folder / "out")
    with pytest.MonkeyPatch.context() as patch:
        # The same network has been exported for other tests; the stage compares the graph with PyTorch.
        patch.setattr("engines.stages.onnx_from_torch", lambda _: _exported)
        assert run.build() == 0
    return run


@pytest.fixture(params=list(LAYOUTS))
def case(request: pytest.FixtureRequest, tmp_path: Path) -> LayoutCase:
    return LAYOUTS[request.param](tmp_path / "data")


def of_split(case: LayoutCase, split: str) -> str:
    """Returns what to pass for a split: DFDC has parts in their place."""
    part = case.data / split
    return str(part if (part / "metadata.json").is_file() else case.data)


def test_a_layout_goes_from_its_files_to_the_report(
    case: LayoutCase, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run.build("--calibration", of_split(case, "train")) == 0
    sets = ("--test", of_split(case, "test"), "--validation", of_split(case, "val"))
    assert run.evaluate(*sets, *case.options) in GRADED
    told = capsys.readouterr().out
    has_splits = of_split(case, "test") == str(case.data)
    for name, split in (("calibration", "train"), ("test", "test"), ("validation", "val")):
        assert not case.note or told.count(f"note: {name} set: {case.note}") == 1
        chosen = f"6 of 18 videos taken, those of the split {split}; --{name}-split takes others"
        assert told.count(f"note: {name} set: {chosen}\n") == has_splits
    assert told.count("note: ") == 3 * (bool(case.note) + has_splits)

    calibration = read_spec(RunFolder(run.out)).calibration
    assert calibration is not None
    assert calibration.videos == case.videos["train"].keys()
    assert (calibration.real, calibration.fake) == (PEOPLE * case.frames, PEOPLE * case.frames)
    for variant in VARIANTS:
        for role, split in (("frames", "test"), ("validation", "val")):
            scores = read_frame_scores(run.out / f"results/{variant}/{role}.onnxruntime.csv")
            assert {score.video: score.is_fake for score in scores} == case.videos[split]
            assert len(scores) == 2 * PEOPLE * case.frames
    record = read_json(run.out / "report/report.json")
    assert (record["dataset"]["fake_videos"], record["dataset"]["real_videos"]) == (PEOPLE, PEOPLE)
    assert record["validation"]["fake_videos"] == PEOPLE
    assert (run.out / "report/report.html").stat().st_size > 10_000


def test_thresholds_are_fitted_to_the_split_that_was_calibrated_with(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case, path = manifest(tmp_path / "data"), run.out / "results/baseline/validation.onnxruntime.csv"
    path.unlink(missing_ok=True)  # scores of the test before
    data = ("--calibration", str(case.data), "--calibration-split", "VALIDATION")
    assert run.build(*data) == 0
    assert run.evaluate("--test", str(case.data), "--test-split", "TEST", "--scores-only") == 0
    # What is to be run next takes the same images.
    assert f"--test {case.data} --test-split TEST --backend" in capsys.readouterr().out
    scores = read_frame_scores(path)
    assert {score.video: score.is_fake for score in scores} == case.videos["val"]


def test_faces_that_were_cut_out_otherwise_than_declared_are_refused(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fine, other = manifest(tmp_path / "fine"), manifest(tmp_path / "other")
    contract = contract_for_tests(TINY, 64, faces=FaceContract())
    model = tmp_path / "model.toml"
    model.write_text(toml_from_contract(contract), encoding="utf-8")
    record = PreparedRecord(FaceContract(), contract.video.frames + 1, "none", "", 18)
    write_prepared(other.data.parent, record)
    assert run.build("--model", str(model), "--calibration", str(other.data)) == 2
    assert run.build("--model", str(model), "--calibration", str(fine.data)) == 0
    assert run.evaluate("--test", str(other.data), "--scores-only") == 2
    assert run.evaluate("--test", str(fine.data), "--validation", str(other.data), "--scores-only") == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 3
    assert all(f"{other.data.parent} was prepared with video.frames = " in line for line in errors)
