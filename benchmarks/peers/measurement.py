"""What is measured of every graph alike: scores of the test set, findings of the linter, TensorRT's verdict."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import onnx

from calibration.loading import BatchReader
from calibration.qdq_lint import lint_qdq
from engines.backend import BuildOptions, backend_from_name
from evaluate.scoring.score_files import write_frame_scores
from evaluate.scoring.scoring import frame_scores_from_runner
from export.errors import BackendError
from export.runners import OnnxRunner
from peers.job import FRAMES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from peers.job import Job
    from peers.methods import Method

BACKEND = "tensorrt-rtx"
_BATCH = 8
_MIB = 1 << 20
_MISREAD = "misreads"


def write_scores_of_graph(job: Job, method: Method, graph: Path) -> Mapping[str, Any]:
    """Scores every test frame by ONNX Runtime on the CPU, which simulates Q/DQ pairs around float kernels."""
    reader = BatchReader(job.test_set.samples, job.contract.input, _BATCH)
    with OnnxRunner(graph) as runner:
        scored = frame_scores_from_runner(runner, reader, job.test, method.name)
    write_frame_scores(job.folder(method.name) / FRAMES, scored.frames)
    return {"frames": len(scored.frames)}


def lint_of_graph(graph: Path) -> Mapping[str, Any]:
    """Counts what the linter finds, rule by rule in the order of its first finding."""
    model = onnx.load(graph)
    for index, node in enumerate(model.graph.node):
        node.name = node.name or f"{node.op_type}_{index}"
    findings = lint_qdq(model)
    pairs = sum(node.op_type == "QuantizeLinear" for node in model.graph.node)
    first = f"{findings[0].rule}: {findings[0].node} {findings[0].message}" if findings else ""
    return {
        "findings": len(findings),
        "rules": Counter(finding.rule for finding in findings),
        "first": first,
        "quantizers": pairs,
    }


def plan_of_graph(graph: Path) -> Mapping[str, Any]:
    """Parses the graph and builds a plan, strongly typed; says `yes`, `no` or `misread` and why."""
    plan = graph.with_name("trial.plan")
    backend = backend_from_name(BACKEND)
    try:
        backend.build(graph, plan, BuildOptions())
        return {"verdict": "yes", "plan_mib": plan.stat().st_size / _MIB, "reason": ""}
    except BackendError as error:
        # uint8 quantizers do build; what is built computes something else.
        verdict = "misread" if _MISREAD in str(error) else "no"
        return {"verdict": verdict, "plan_mib": None, "reason": str(error)}
    finally:
        plan.unlink(missing_ok=True)
