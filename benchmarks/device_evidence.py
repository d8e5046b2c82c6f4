"""Measures every engine of a run on this device and keeps it as one JSON file: evidence of what has run where.

    python benchmarks/device_evidence.py RUN --test DIR --backend tensorrt --commit $(git rev-parse HEAD) --out docs/gpu

Scores and latency are those of `evaluate-engines --scores-only --latency`, so they are also what a report is made from.
If the run folder has scores of the same graphs by ONNX Runtime on the CPU, the logits are compared with them,
which shows how well the simulation foretold the device. It takes no torch.
"""

from __future__ import annotations

import argparse
import platform
import shlex
import sys
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from engines.backend import backend_from_name
from engines.latency_measuring import LatencyConditions
from engines.run_folder import RunFolder
from evaluate.metrics import DEFAULT_THRESHOLD, confusion_at, roc_auc
from evaluate.scores import video_scores_from_frames
from evaluate.scoring.latency_files import read_latency
from evaluate.scoring.measuring import measure_engines
from evaluate.scoring.request import EvaluationRequest
from evaluate.scoring.score_files import read_frame_scores
from export.command import run_command, whole_number
from export.sidecar import read_artifact, sidecar_path, write_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from evaluate.scores import FrameScore
    from evaluate.scoring.measuring import MeasuredEngine

SIMULATION = "onnxruntime"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns 0, or 2 if something the user can mend is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, metavar="RUN", help="folder that build-engines filled")
    parser.add_argument("--test", type=Path, required=True, metavar="DIR", help="data set of labelled faces")
    parser.add_argument("--backend", required=True, metavar="NAME", help="whose engines to run")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the JSON file goes")
    parser.add_argument("--commit", required=True, metavar="SHA", help="commit of the toolkit that runs")
    parser.add_argument("--batches", type=whole_number(1), nargs="+", default=[1, 8, 32], metavar="N")
    parser.add_argument(
        "--seconds", type=float, default=3.0, metavar="S", help="per batch size (default: 3, as trtexec)"
    )
    parser.add_argument("--batch-size", type=whole_number(1), default=32, metavar="N", help="of scoring")
    arguments = parser.parse_args(argv)
    command = shlex.join(["python", "benchmarks/device_evidence.py", *(sys.argv[1:] if argv is None else argv)])
    return run_command("device_evidence", lambda: _run(arguments, command))


def _run(arguments: argparse.Namespace, command: str) -> int:
    request = EvaluationRequest(
        run=arguments.run,
        test=arguments.test,
        backend=arguments.backend,
        batch_size=arguments.batch_size,
        latency_batches=tuple(arguments.batches),
        latency_conditions=LatencyConditions(min_seconds=arguments.seconds),
    )
    measured = measure_engines(request, partial(print, flush=True))
    backend = backend_from_name(arguments.backend)
    now = datetime.now(timezone.utc)
    rows = {entry.variant.name: _row(RunFolder(arguments.run), entry) for entry in measured}
    device = backend.device()
    record = {
        "created_utc": now.isoformat(timespec="seconds"),
        "command": command,
        "commit": arguments.commit,
        "backend": arguments.backend,
        "versions": dict(backend.versions()),
        "device": device,
        "bound_to": dict(backend.build_device()),
        "machine": {"python": platform.python_version(), "machine": platform.machine(), "system": platform.release()},
        "variants": rows,
    }
    name = "".join(character if character.isalnum() else "-" for character in device.lower())
    path = arguments.out / f"{now:%Y-%m-%d}-{name}-{arguments.backend}.json"
    write_json(path, record)
    print(_table(rows))
    print(f"evidence: {path}")
    return 0


def _row(run: RunFolder, entry: MeasuredEngine) -> dict[str, Any]:
    frames = read_frame_scores(entry.frames.path)
    scores = video_scores_from_frames(frames)
    counts = confusion_at(DEFAULT_THRESHOLD, scores.is_fake, scores.scores)
    return {
        "engine": {
            "sha256": entry.engine.sha256,
            "onnx": entry.engine.recipe.parents["onnx"],
            "size_bytes": entry.engine.size_bytes,
            "options": dict(entry.engine.recipe.options),
            "facts": dict(entry.engine.facts),
        },
        "scoring": dict(entry.frames.facts),
        "videos": len(scores.videos),
        "auc": roc_auc(scores.is_fake, scores.scores),
        "confusion": {"tp": counts.tp, "tn": counts.tn, "fp": counts.fp, "fn": counts.fn},
        "latency": read_latency(entry.latency).to_dict() if entry.latency else None,
        "simulation": _against_simulation(run, entry, frames),
    }


def _against_simulation(
    run: RunFolder, entry: MeasuredEngine, frames: Sequence[FrameScore]
) -> dict[str, float | int] | None:
    """Compares with ONNX Runtime on the CPU where it scored the same graph; None where it did not."""
    path = run.frames(entry.variant.name, SIMULATION)
    engine = run.engine(entry.variant.name, SIMULATION, backend_from_name(SIMULATION).suffix)
    if not all(file.is_file() and sidecar_path(file).is_file() for file in (path, engine)):
        return None
    simulated, by = read_artifact(path), read_artifact(engine)
    same_graph = by.recipe.parents["onnx"] == entry.engine.recipe.parents["onnx"]
    same_images = simulated.recipe.parents["test"] == entry.frames.recipe.parents["test"]
    if not same_graph or not same_images or simulated.recipe.parents["engine"] != by.sha256:
        return None
    expected = {frame.path: frame.logit for frame in read_frame_scores(path)}
    pairs = np.array([(frame.logit, expected[frame.path]) for frame in frames if frame.path in expected])
    return compared_logits(pairs[:, 0], pairs[:, 1])


def compared_logits(own: np.ndarray[Any, Any], simulated: np.ndarray[Any, Any]) -> dict[str, float | int]:
    """Returns how far the device's logits (N,) lie from the simulated ones (N,), and how many decisions differ at 0."""
    error = own - simulated
    power = float(np.mean(np.square(simulated - np.mean(simulated))))
    noise = float(np.mean(np.square(error)))
    return {
        "frames": len(own),
        "largest_difference": float(np.max(np.abs(error))),
        "mean_difference": float(np.mean(error)),
        "sqnr_db": float(10 * np.log10(power / noise)) if noise > 0 and power > 0 else 200.0,
        "reversed_frames": int(np.sum((own >= 0) != (simulated >= 0))),
    }


def _table(rows: Mapping[str, Mapping[str, Any]]) -> str:
    lines = [
        f"{'variant':<10} {'MiB':>7} {'AUC':>7} {'FP':>4} {'FN':>4} {'vs sim dB':>9} {'batch':>5} {'ms':>8} {'im/s':>8}"
    ]
    for name, row in rows.items():
        compared = f"{row['simulation']['sqnr_db']:.1f}" if row["simulation"] else "-"
        head = (
            f"{name:<10} {row['engine']['size_bytes'] / 2**20:7.2f} {row['auc']:7.4f} {row['confusion']['fp']:4d} "
            f"{row['confusion']['fn']:4d} {compared:>9}"
        )
        for batch in row["latency"]["batches"]:
            timed = f"{batch['batch']:5d} {batch['latency']['median']:8.3f} {batch['images_per_second']:8.1f}"
            lines.append(f"{head} {timed}")
            head = " " * len(head)
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
