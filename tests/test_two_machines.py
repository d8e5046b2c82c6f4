"""Engines that are built on a workstation, scored on a device without its packages, and reported on the workstation."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from engines.run_folder import RunFolder, locked
from evaluate.verdict.cli_compare import main as compare_reports
from export.sidecar import read_json, sha256_of_file, sha256_of_json, sidecar_path, write_json
from tests.celeb_df_tree import write_tree
from tests.signoff_run import GRADED, SignoffCase, write_case

if TYPE_CHECKING:
    from typing import Any

ROOT = Path(__file__).parents[1]
NOT_ON_A_DEVICE = "torch,torchvision,timm,jinja2,matplotlib,onnx,onnxscript,nncf,scipy,safetensors,zstandard,sklearn"
SCORES, REPORT = "--scores-only", "--from-scores"


def evaluate(case: SignoffCase, *options: str, without: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.bare_machine", without, "evaluate", case.out, "--test", case.test, *options],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "2"},
    )


@pytest.fixture(scope="module")
def workstation(tmp_path_factory: pytest.TempPathFactory) -> SignoffCase:
    case = write_case(tmp_path_factory.mktemp("workstation"))
    assert case.build("--variants", "baseline", "q16", "--backend", "onnxruntime") == 0
    return case


@pytest.fixture(scope="module")
def device(workstation: SignoffCase, tmp_path_factory: pytest.TempPathFactory) -> SignoffCase:
    """What has to be copied, and what was measured there."""
    folder = tmp_path_factory.mktemp("device")
    case = replace(workstation, out=folder / "run", test=folder / "test")
    shutil.copytree(workstation.test, case.test)
    shutil.copytree(workstation.out / "engines", case.out / "engines")
    shutil.copy(workstation.out / "spec.json", case.out)
    latency = ("--latency", "--latency-batches", "2")
    done = evaluate(case, SCORES, "--batch-size", "5", *latency, without=NOT_ON_A_DEVICE)
    assert done.returncode == 0, done.stderr
    assert "images/s" in done.stdout
    assert f"--backend onnxruntime {REPORT}" in done.stdout
    return case


@pytest.fixture
def returned(workstation: SignoffCase, device: SignoffCase, tmp_path: Path) -> SignoffCase:
    """The workstation's folder with the results that came back."""
    case = replace(workstation, out=tmp_path / "run")
    shutil.copytree(workstation.out, case.out)
    shutil.copytree(device.out / "results", case.out / "results")
    return case


KILLED_AT = """
import os, signal, sys
from engines.onnxruntime_runner import OnnxEngineRunner
from evaluate.cli import main

infer_each, last = OnnxEngineRunner.infer_each, int(sys.argv[1])

def killed(self, batches):
    global last
    for logits in infer_each(self, batches):
        if last == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        last -= 1
        yield logits

OnnxEngineRunner.infer_each = killed
sys.exit(main(sys.argv[2:]))
"""


def record_of(case: SignoffCase) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((case.out / "report/report.json").read_text(encoding="utf-8"))
    return record


def test_a_device_writes_scores_and_latency_and_no_report(device: SignoffCase) -> None:
    files = {path.relative_to(device.out).as_posix() for path in device.out.rglob("*") if path.is_file()}
    made = {
        f"results/{variant}/{name}{suffix}"
        for variant in ("baseline", "q16")
        for name in ("frames.onnxruntime.csv", "validation.onnxruntime.csv", "latency.onnxruntime.json")
        for suffix in ("", ".json")
    }
    assert {path for path in files if not path.startswith("engines/")} == {"spec.json", ".lock", *made}


@pytest.mark.parametrize("seed", range(2))
def test_killed_scorings_go_on_and_end_with_the_same_scores(seed: int, device: SignoffCase, tmp_path: Path) -> None:
    case = replace(device, out=tmp_path / "run")
    shutil.copytree(device.out, case.out, ignore=shutil.ignore_patterns("results"))
    command = [str(case.out), "--test", str(case.test), SCORES, "--batch-size", "5"]
    for batches in np.random.default_rng(seed).integers(1, 10, 2):  # twenty batches in all
        killed = subprocess.run([sys.executable, "-c", KILLED_AT, str(batches), *command], cwd=ROOT, check=False)
        assert killed.returncode == -signal.SIGKILL
        assert len(list(case.out.rglob("*.partial.csv"))) <= 1
    assert case.evaluate(SCORES, "--batch-size", "5") == 0
    assert list(case.out.rglob("*.partial.csv")) == []
    scores = [path for name in ("frames", "validation") for path in device.out.rglob(f"{name}.*.csv")]
    assert len(scores) == 4
    for path in scores:
        assert (case.out / path.relative_to(device.out)).read_bytes() == path.read_bytes()


@pytest.mark.slow
def test_the_report_is_that_of_a_single_machine(returned: SignoffCase, tmp_path: Path) -> None:
    whole = replace(returned, out=tmp_path / "whole")
    shutil.copytree(returned.out, whole.out, ignore=shutil.ignore_patterns("results"))
    done = evaluate(whole, "--batch-size", "5", without="nothing")
    assert done.returncode in GRADED, done.stderr
    done = evaluate(returned, REPORT, without="onnxruntime")
    assert done.returncode in GRADED, done.stderr
    expected, found = record_of(whole), record_of(returned)
    # The version of ONNX Runtime is known from the scores alone, and marked so.
    assert found["environment"].pop("onnxruntime (scores)") == expected["environment"].pop("onnxruntime")
    for record in (expected, found):
        record.pop("created_utc")
        assert record["validation"]["is_calibration_set"]
    measured = [variant.pop("latency") for variant in found["variants"]]
    assert [variant.pop("latency") for variant in expected["variants"]] == [[], []]
    assert found == expected
    assert all(variant["backend"].startswith("onnxruntime 1.") for variant in found["variants"])
    assert [[batch["batch"] for batch in records[0]["batches"]] for records in measured] == [[2], [2]]
    for path in whole.out.glob("results/*/result/**/*.jpg"):
        assert (returned.out / path.relative_to(whole.out)).read_bytes() == path.read_bytes()


@pytest.mark.slow
def test_what_ran_the_engines_is_read_from_the_scores(returned: SignoffCase) -> None:
    """As if the scores of q16 came from a GPU: the report names it, though the backend here knows none."""
    sidecar = sidecar_path(returned.out / "results/q16/frames.onnxruntime.csv")
    edit_facts(sidecar, backend="tensorrt 10.13.0", device="NVIDIA Orin", simulation="", notes=["the batch was halved"])
    done = evaluate(returned, REPORT, without="onnxruntime")
    assert done.returncode in GRADED, done.stderr
    record = record_of(returned)
    assert [v["backend"] for v in record["variants"]][1] == "tensorrt 10.13.0 (NVIDIA Orin)"
    assert [v["simulation"] for v in record["variants"]] == ["", ""]
    assert "q16: the batch was halved" in record["warnings"]
    assert any("not scored alike" in warning for warning in record["warnings"])


def edit_facts(sidecar: Path, **facts: object) -> None:
    record = read_json(sidecar)
    changed = {**record["facts"], **facts}
    write_json(sidecar, {**record, "facts": changed, "facts_sha256": sha256_of_json(changed)})


def refused(case: SignoffCase, *options: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert case.evaluate(*options) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    return told


def test_missing_scores_are_named_with_the_command_that_makes_them(
    returned: SignoffCase, capsys: pytest.CaptureFixture[str]
) -> None:
    (returned.out / "results/q16/frames.onnxruntime.csv").unlink()
    told = refused(returned, REPORT, capsys=capsys)
    assert "1 of 2 engines for onnxruntime have no scores" in told
    assert "--backend onnxruntime --scores-only' where the engines run" in told
    assert not (returned.out / "report").exists()


def test_scores_of_another_engine_are_refused(returned: SignoffCase, capsys: pytest.CaptureFixture[str]) -> None:
    results = returned.out / "results"
    for suffix in ("", ".json"):
        shutil.copy(results / f"baseline/frames.onnxruntime.csv{suffix}", results / "q16")
    told = refused(returned, REPORT, capsys=capsys)
    assert "has the scores of another engine than" in told
    assert "--scores-only" in told


def test_scores_of_another_test_set_are_refused(
    returned: SignoffCase, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = replace(returned, test=write_tree(tmp_path / "other", first_identity=300))
    assert "has the scores of another test set than" in refused(other, REPORT, capsys=capsys)


@pytest.mark.parametrize("name", ["frames.onnxruntime.csv", "latency.onnxruntime.json", "frames.onnxruntime.csv.json"])
def test_edited_results_are_refused(name: str, returned: SignoffCase, capsys: pytest.CaptureFixture[str]) -> None:
    path = returned.out / "results/q16" / name
    path.write_text(path.read_text(encoding="utf-8").replace("0", "1", 1), encoding="utf-8")
    assert name.removesuffix(".json") in refused(returned, REPORT, capsys=capsys)


def test_another_aggregation_is_a_matter_of_the_report(
    returned: SignoffCase, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert returned.evaluate(REPORT) in GRADED
    shutil.copytree(returned.out, tmp_path / "before")
    frames = returned.out / "results/q16/frames.onnxruntime.csv"
    scored = frames.stat().st_mtime_ns
    assert returned.evaluate(REPORT, "--aggregation", "max") in GRADED
    assert frames.stat().st_mtime_ns == scored
    record = record_of(returned)
    assert (record["aggregation"], record["declared_aggregation"]) == ("max", "mean-probability")
    logits: dict[str, list[float]] = {}
    for row in csv.DictReader(frames.read_text(encoding="utf-8").splitlines()):
        logits.setdefault(row["video"].rpartition("/")[2], []).append(float(row["logit"]))
    q16 = record["variants"][1]["statistics"]["scores"]
    assert q16 == pytest.approx([1 / (1 + np.exp(-max(logits[video["sample"]]))) for video in record["videos"]])
    told = "The model file declares mean-probability; --aggregation replaced it."
    for name in ("report.md", "report.html"):
        assert told in (returned.out / "report" / name).read_text(encoding="utf-8")
    capsys.readouterr()
    assert compare_reports([str(tmp_path / "before"), str(returned.out)]) == 0
    out = capsys.readouterr().out
    assert "a video's score is mean-probability in A and max in B" in out
    assert re.search(r"test set +frames to video +mean-probability +max", out)


def test_calibration_images_are_compared_with_the_test_images_where_they_are(returned: SignoffCase) -> None:
    assert returned.evaluate(REPORT) in GRADED
    (compared,) = record_of(returned)["lookalikes"]
    assert (compared["purpose"], compared["pairs"], compared["lack"]) == ("calibration", 0, "")
    assert compared["images"] > 0
    spec = read_json(returned.out / "spec.json")
    elsewhere = {**spec["calibration"], "root": "/elsewhere", "source": "/elsewhere"}
    write_json(returned.out / "spec.json", {**spec, "calibration": elsewhere})
    assert returned.evaluate(REPORT) in GRADED
    told = "Whether calibration images look like test images was not checked: the calibration images are not at"
    for name in ("report.md", "report.html"):
        assert told in (returned.out / "report" / name).read_text(encoding="utf-8")


def left_out_of_q16(case: SignoffCase) -> str:
    """As if an image had not decoded on the machine that scored q16: its line is gone, and the sidecar says so."""
    path = case.out / "results/q16/frames.onnxruntime.csv"
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    lost = lines.pop(7).rstrip().rpartition(",")[2]
    path.write_text("".join(lines), encoding="utf-8")
    edit_facts(sidecar_path(path), unreadable=[lost])
    write_json(sidecar_path(path), {**read_json(sidecar_path(path)), "sha256": sha256_of_file(path)})
    return lost


def test_scores_that_leave_out_other_images_are_refused_or_told(
    returned: SignoffCase, capsys: pytest.CaptureFixture[str]
) -> None:
    lost = left_out_of_q16(returned)
    told = refused(returned, REPORT, capsys=capsys)
    assert "q16 has no scores of 1 videos, or not of all their images" in told
    assert "--allow-partial to compare them on the other 11 videos" in told
    assert not (returned.out / "report").exists()
    assert returned.evaluate(REPORT, "--allow-partial") in GRADED
    record = record_of(returned)
    sample = f"{Path(lost).parent.name}.mp4"
    assert record["is_partial"]
    assert len(record["videos"]) == 11
    assert sample not in {video["sample"] for video in record["videos"]}
    assert {len(variant["statistics"]["scores"]) for variant in record["variants"]} == {11}
    assert "q16: 1 videos lack scores, or scores of some images; they are left out of every row" in record["warnings"]
    assert (record["dataset"]["fake_videos"] + record["dataset"]["real_videos"], record["dataset"]["frames"]) == (
        11,
        22,
    )
    shown = [cell["sample"] for variant in record["variants"] for row in variant["samples"].values() for cell in row]
    assert sample not in shown


def test_a_device_without_calibration_images_fits_no_threshold(
    device: SignoffCase, workstation: SignoffCase, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case = replace(device, out=tmp_path / "run")
    shutil.copytree(device.out, case.out, ignore=shutil.ignore_patterns("validation.*"))
    spec = read_json(case.out / "spec.json")
    write_json(
        case.out / "spec.json", {**spec, "calibration": {**spec["calibration"], "root": "/elsewhere", "source": ""}}
    )
    assert case.evaluate(SCORES, "--batch-size", "5") == 0
    assert "no threshold will be fitted: the calibration images are not at /elsewhere; pass" in capsys.readouterr().out
    assert not list(case.out.rglob("validation.*"))
    back = replace(workstation, out=tmp_path / "back")
    shutil.copytree(workstation.out, back.out)
    shutil.copytree(case.out / "results", back.out / "results")
    assert back.evaluate(REPORT) in GRADED
    assert "no threshold will be fitted: 2 of 2 engines have no scores" in capsys.readouterr().out
    record = record_of(back)
    assert record["validation"] is None
    assert any(warning.startswith("no threshold was fitted, so decisions") for warning in record["warnings"])
    assert {tuple(p["origin"] for p in v["statistics"]["operating_points"]) for v in record["variants"]} == {
        ("default",)
    }


def test_a_validation_folder_that_the_device_scored_is_taken_and_checked(
    device: SignoffCase, workstation: SignoffCase, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, other = write_tree(tmp_path / "validation", 500), write_tree(tmp_path / "other", 700)
    case = replace(device, out=tmp_path / "run")
    shutil.copytree(device.out, case.out)
    done = evaluate(case, SCORES, "--batch-size", "5", "--validation", str(folder), without=NOT_ON_A_DEVICE)
    assert done.returncode == 0, done.stderr
    assert "scores of the validation set in" in done.stdout
    back = replace(workstation, out=tmp_path / "back")
    shutil.copytree(workstation.out, back.out)
    shutil.copytree(case.out / "results", back.out / "results")
    assert "of another validation set than" in refused(back, REPORT, "--validation", str(other), capsys=capsys)
    shutil.move(folder, tmp_path / "moved")
    for options in ((), ("--validation", str(tmp_path / "moved"))):
        assert back.evaluate(REPORT, *options) in GRADED
        validation = record_of(back)["validation"]
        assert (validation["root"], validation["is_calibration_set"]) == (str(folder), False)
        assert (validation["fake_videos"], validation["real_videos"]) == (4, 8)
        told = [(each["purpose"], each["lack"]) for each in record_of(back)["lookalikes"]]
        assert told == [("calibration", ""), ("validation", "" if options else "pass --validation where they are")]
    engine = read_json(back.out / "engines/q16.onnxruntime.onnx.json")
    assert engine["facts"]["recommended_threshold"]["validation_sha256"] == validation["sha256"]


def test_a_validation_folder_that_shares_people_with_the_test_set_is_refused(
    returned: SignoffCase, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    same = write_tree(tmp_path / "validation", first_identity=101)
    for options in ((), (SCORES,), (REPORT,)):
        told = refused(returned, *options, "--validation", str(same), capsys=capsys)
        assert "validation and test set share 7 identities, such as id101; validate on other people" in told


def test_the_latency_of_an_earlier_engine_is_left_out_and_said_so(
    returned: SignoffCase, capsys: pytest.CaptureFixture[str]
) -> None:
    results = returned.out / "results"
    for suffix in ("", ".json"):
        shutil.copy(results / f"baseline/latency.onnxruntime.json{suffix}", results / "q16")
    assert returned.evaluate(REPORT) in GRADED
    record = record_of(returned)
    assert [len(variant["latency"]) for variant in record["variants"]] == [1, 0]
    assert "q16: the latency of an earlier engine for onnxruntime is left out" in " ".join(record["warnings"])


@pytest.mark.parametrize("option", [SCORES, REPORT])
def test_a_folder_that_another_command_works_on_is_refused(
    option: str, returned: SignoffCase, capsys: pytest.CaptureFixture[str]
) -> None:
    with locked(RunFolder(returned.out)):
        assert "another command works on" in refused(returned, option, capsys=capsys)


@pytest.mark.parametrize("option", [SCORES, REPORT])
def test_an_unknown_or_unbuilt_backend_is_refused(
    option: str, returned: SignoffCase, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "unknown backend 'tensorflow'" in refused(returned, option, "--backend", "tensorflow", capsys=capsys)
    assert "no engines for tensorrt-rtx" in refused(returned, option, "--backend", "tensorrt-rtx", capsys=capsys)


def test_scores_need_the_backend(device: SignoffCase) -> None:
    done = evaluate(device, SCORES, without="onnxruntime,onnxruntime_gpu")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "ONNX Runtime is not installed" in done.stderr
