"""Evidence of what ran where: complete, and true of the run it is made from."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from export.sidecar import sha256_of_file
from tests.celeb_df_tree import write_tree

if TYPE_CHECKING:
    from pathlib import Path

    from engines.run_folder import RunFolder


def test_evidence_holds_scores_latency_and_identity(
    run: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from device_evidence import main

    test, out = write_tree(tmp_path / "test", first_identity=100), tmp_path / "evidence"
    arguments = [str(run.root), "--test", str(test), "--backend", "onnxruntime", "--out", str(out), "--commit", "abc"]
    assert main([*arguments, "--batches", "1", "2", "--seconds", "0.05"]) == 0
    (path,) = out.glob("*.json")
    record = json.loads(path.read_text(encoding="utf-8"))
    row = record["variants"]["baseline"]
    with (run.results("baseline") / "frames.onnxruntime.csv").open(encoding="utf-8", newline="") as stream:
        frames = list(csv.DictReader(stream))
    videos: dict[tuple[str, str], list[float]] = {}
    for frame in frames:
        videos.setdefault((frame["video"], frame["label"]), []).append(1 / (1 + np.exp(-float(frame["logit"]))))
    labels = [int(label) for _, label in videos]
    assert row["auc"] == pytest.approx(roc_auc_score(labels, [np.mean(scores) for scores in videos.values()]))
    assert sum(row["confusion"].values()) == row["videos"] == len(videos)
    assert [entry["batch"] for entry in row["latency"]["batches"]] == [1, 2]
    assert row["engine"]["sha256"] == sha256_of_file(run.engine("baseline", "onnxruntime", ".onnx"))
    assert record["commit"] == "abc"
    assert "--seconds 0.05" in record["command"]
    # The simulation is compared with itself here.
    assert (row["simulation"]["largest_difference"], row["simulation"]["reversed_frames"]) == (0, 0)
    assert row["simulation"]["frames"] == len(frames)
    assert str(path) in capsys.readouterr().out


def test_another_backend_is_compared_frame_by_frame() -> None:
    from device_evidence import compared_logits

    rng = np.random.default_rng()
    simulated = rng.normal(0, 3, 400)
    own = simulated + rng.normal(0, 0.1, 400)
    compared = compared_logits(own, simulated)
    noise_to_signal = np.mean((own - simulated) ** 2) / np.var(simulated)
    assert compared["sqnr_db"] == pytest.approx(-10 * np.log10(noise_to_signal))
    assert compared["reversed_frames"] == sum(a * b < 0 for a, b in zip(own, simulated, strict=True))
    assert compared["largest_difference"] == max(abs(a - b) for a, b in zip(own, simulated, strict=True))


def test_a_missing_run_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from device_evidence import main

    arguments = [str(tmp_path / "none"), "--test", str(tmp_path), "--backend", "onnxruntime", "--out", str(tmp_path)]
    assert main([*arguments, "--commit", "abc"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
