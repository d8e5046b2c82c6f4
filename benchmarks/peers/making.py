"""Makes the graph of a method by the command that its authors provide, or by a worker that calls their library."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from export import __version__
from export.command import EXIT_LIMIT_MISSED
from export.errors import BackendError
from export.sidecar import read_json, sha256_of_file, sha256_of_json
from export.variant import variant_from_name
from export.versions import versions_of
from peers.cache import FAILURE
from peers.modelopt_venv import modelopt_python, modelopt_versions
from peers.processes import Finished, run_measured

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from peers.job import Job
    from peers.methods import Method

ROOT = Path(__file__).resolve().parents[2]
_MIB = 1 << 20
_PACKAGES = {
    "reference": ("torch", "timm", "onnx"),
    "ours": ("torch", "timm", "onnx", "onnxruntime", "numpy"),
    "onnxruntime": ("onnxruntime", "onnx", "numpy"),
    "nncf": ("nncf", "onnx", "onnxruntime", "numpy"),
    "modelopt": (),
    "nncf-pruning": ("nncf", "torch", "timm", "onnx", "onnxscript"),
    "torch-pruning": ("torch-pruning", "torch", "timm", "onnx", "onnxscript"),
}
# Rooms whose code decides what the family's graphs are.
_ROOMS = {
    "reference": ("export",),
    "ours": ("export", "calibration", "engines"),
    # One row of NNCF keeps the layers dense that ours keeps.
    "nncf-pruning": ("export", "pruning"),
    "torch-pruning": ("export",),
}
_FROM_CHECKPOINT = ("ours", "nncf-pruning", "torch-pruning")
_RECIPE_OPTIONS = {"recipe": "--int8-recipe", "pruning_recipe": "--pruning-recipe"}


@dataclass(frozen=True)
class Workshop:
    """How processes are run.

    Attributes:
        limit_seconds: When a process is stopped.
        modelopt_venv: ModelOpt's virtual environment, made when it is first needed.
    """

    limit_seconds: float
    modelopt_venv: Path

    def run_step(self, job: Job, method: str, step: str, graph: Path) -> Finished:
        """Runs one step of the worker for one method."""
        folder = job.folder(method)
        job.write(folder / "job.json")
        command = [sys.executable, "-m", "peers.worker", step, method, str(folder / "job.json"), str(graph)]
        return self.run(command, folder / f"{step}.log")

    def run(self, command: list[str], log: Path, accepted: Sequence[int] = (0,)) -> Finished:
        """Runs a command so that it finds this package, and NNCF keeps its statistics to itself."""
        paths = f"{ROOT / 'benchmarks'}:{ROOT}"
        return run_measured(command, log, self.limit_seconds, {"PYTHONPATH": paths, "NNCF_CI": "1"}, accepted)


def graph_of(job: Job, method: Method) -> Path:
    """Returns where the graph of a method lies."""
    if method.family == "ours":
        return job.folder(method.name) / "run" / "onnx" / f"{method.settings['variant']}.onnx"
    return job.folder(method.name) / "model.onnx"


def inputs_of_making(job: Job, method: Method, digests: Mapping[str, str]) -> dict[str, Any]:
    """Returns everything that a method's graph depends on; `digests` are those of the benchmark's inputs."""
    if method.family in _FROM_CHECKPOINT:
        origin = {name: digests[name] for name in ("checkpoint", "contract", "calibration")}
    else:
        # INT8 peers start from the exported graph, whatever code exported it.
        origin = {"fp32": sha256_of_file(job.fp32_graph), "calibration": digests["calibration"]}
    rooms, packages = _ROOMS.get(method.family, ()), _PACKAGES[method.family]
    if method.family == "ours" and variant_from_name(method.settings["variant"]).pruning:
        rooms, packages = (*rooms, "pruning"), (*packages, "nncf")
    return {
        "origin": origin,
        "code": code_digest(*rooms) if rooms else "",
        "settings": dict(method.settings),
        "versions": versions_of(*packages),
    }


def code_digest(*rooms: str) -> str:
    """Returns the digest of the toolkit's code in some rooms: its version changes only with releases."""
    files = [path for room in rooms for path in sorted((ROOT / room).glob("*.py"))]
    return sha256_of_json([__version__, *([path.name, sha256_of_file(path)] for path in files)])


def made_graph(job: Job, method: Method, workshop: Workshop) -> dict[str, Any]:
    """Makes the graph anew; returns its facts, or why there is none."""
    graph = graph_of(job, method)
    graph.unlink(missing_ok=True)
    try:
        finished, facts = _make(job, method, workshop, graph)
    except BackendError as error:
        return {FAILURE: str(error)}
    if finished.failure:
        return {**finished.cost, FAILURE: finished.failure}
    if not graph.is_file():
        return {**finished.cost, FAILURE: f"it ended without an error but wrote no {graph.name}"}
    return {**facts, **finished.cost, "sha256": sha256_of_file(graph), "mib": graph.stat().st_size / _MIB}


def _make(job: Job, method: Method, workshop: Workshop, graph: Path) -> tuple[Finished, Mapping[str, Any]]:
    if method.family == "ours":
        return _make_ours(job, method, workshop)
    if method.family == "modelopt":
        return _make_by_modelopt(job, method, workshop, graph)
    finished = workshop.run_step(job, method.name, "make", graph)
    return finished, {} if finished.failure else read_json(job.folder(method.name) / "make.json")


def _make_ours(job: Job, method: Method, workshop: Workshop) -> tuple[Finished, Mapping[str, Any]]:
    folder = job.folder(method.name)
    # build-engines would reuse what an earlier, killed run left, and its seconds would be those of half the work.
    shutil.rmtree(folder / "run", ignore_errors=True)
    chosen = {option: method.settings.get(key) for key, option in _RECIPE_OPTIONS.items()}
    recipe = [part for option, name in chosen.items() if name for part in (option, name)]
    command = [sys.executable, "-m", "engines.cli", "--checkpoint", job.checkpoint, "--model", job.model_file]
    command += ["--calibration", job.calibration, "--calibration-images", job.calibration_images, "--seed", job.seed]
    command += ["--out", folder / "run", "--backend", "onnxruntime", "--variants", "baseline"]
    command += [method.settings["variant"], *recipe]
    # A variant that misses a limit is built all the same, and its row shows what it is.
    finished = workshop.run([str(part) for part in command], folder / "make.log", (0, EXIT_LIMIT_MISSED))
    remark = "the whole command: export of the checkpoint, its checks, calibration and engines"
    versions = {"engine-signoff": __version__}
    return finished, {"images": len(job.calibration_set.samples), "remark": remark, "versions": versions}


def _make_by_modelopt(job: Job, method: Method, workshop: Workshop, graph: Path) -> tuple[Finished, Mapping[str, Any]]:
    folder = job.folder(method.name)
    python = modelopt_python(workshop.modelopt_venv)
    # It writes intermediate files beside the graph that it reads.
    source = folder / "source.onnx"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(job.fp32_graph, source)
    command = [python, "-m", "modelopt.onnx.quantization", "--onnx_path", source, "--output_path", graph]
    command += ["--quantize_mode", "int8", "--calibration_method", method.settings["calibration"]]
    command += ["--high_precision_dtype", method.settings["high_precision_dtype"]]
    command += ["--calibration_data_path", job.calibration_array, "--calibration_eps", "cpu"]
    finished = workshop.run([str(part) for part in command], folder / "make.log")
    source.unlink()
    return finished, {"images": len(job.calibration_set.samples), "versions": modelopt_versions(python)}
