"""One step for one method in a process of its own: `python -m peers.worker STEP METHOD JOB.json`.

The step's facts go to `STEP.json` in the method's folder; whatever goes wrong ends the process, and its last line
becomes the reason that the row gives.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from export.errors import SignoffError
from export.sidecar import write_json
from peers.job import Job, read_job
from peers.suites import method_from_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from peers.methods import Method


def make(job: Job, method: Method, graph: Path) -> Mapping[str, Any]:
    """Makes the method's graph."""
    if method.family == "onnxruntime":
        from peers.onnxruntime_static import quantize_by_onnxruntime

        return quantize_by_onnxruntime(job, method, graph)
    if method.family == "nncf":
        from peers.nncf_ptq import quantize_by_nncf

        return quantize_by_nncf(job, method, graph)
    if method.family == "nncf-pruning":
        from peers.nncf_pruning import prune_by_nncf

        return prune_by_nncf(job, method, graph)
    if method.family == "torch-pruning":
        from peers.channel_pruning import prune_channels

        return prune_channels(job, method, graph)
    from peers.inputs import write_reference

    return write_reference(job, method, graph)


def inputs(job: Job, _method: Method, _graph: Path) -> Mapping[str, Any]:
    """Writes what every peer starts from."""
    from peers.inputs import write_inputs

    return write_inputs(job)


def scores(job: Job, method: Method, graph: Path) -> Mapping[str, Any]:
    """Scores the test set."""
    from peers.measurement import write_scores_of_graph

    return write_scores_of_graph(job, method, graph)


def lint(_job: Job, _method: Method, graph: Path) -> Mapping[str, Any]:
    """Lints the graph's Q/DQ pairs."""
    from peers.measurement import lint_of_graph

    return lint_of_graph(graph)


def tensorrt(_job: Job, _method: Method, graph: Path) -> Mapping[str, Any]:
    """Builds a plan of the graph."""
    from peers.measurement import plan_of_graph

    return plan_of_graph(graph)


def weights(job: Job, _method: Method, graph: Path) -> Mapping[str, Any]:
    """Counts parameters, zeros and multiplications."""
    from peers.graph_size import size_of_graph

    return {**size_of_graph(graph), "dense_parameters": size_of_graph(job.fp32_graph)["parameters"]}


def speed(job: Job, _method: Method, graph: Path) -> Mapping[str, Any]:
    """Times the graph beside the dense one."""
    from peers.speed import speed_of_graph

    return speed_of_graph(job, graph)


STEPS: Mapping[str, Callable[[Job, Method, Path], Mapping[str, Any]]] = {
    step.__name__: step for step in (inputs, make, scores, lint, tensorrt, weights, speed)
}


def main(argv: list[str]) -> int:
    """Runs a step; returns 0, or 2 with one line if it was refused."""
    step, name, job_file, graph = argv
    job, method = read_job(Path(job_file)), method_from_name(name)
    try:
        facts = STEPS[step](job, method, Path(graph))
    except SignoffError as error:
        print(" ".join(str(error).split()), file=sys.stderr)
        return 2
    write_json(job.folder(name) / f"{step}.json", facts)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
