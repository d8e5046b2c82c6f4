"""The benchmark: makes and measures every method that was asked for and remembers what is known of each."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from export.errors import SignoffError
from export.sidecar import read_json, sha256_of_file
from export.versions import versions_of
from peers.cache import FAILURE, ResultFile
from peers.making import code_digest, graph_of, inputs_of_making, made_graph
from peers.methods import REFERENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from peers.job import Job
    from peers.making import Workshop
    from peers.methods import Method


@dataclass(frozen=True)
class Outcome:
    """What is known of one method.

    Attributes:
        method: The method.
        parts: `make` and each measurement -> its facts, or `{"failure": why}`.
    """

    method: Method
    parts: Mapping[str, Mapping[str, Any]]

    @property
    def failure(self) -> str:
        """Why the row has no figures; empty if it has."""
        return str(next((self.parts[part][FAILURE] for part in ("make", "scores") if FAILURE in self.parts[part]), ""))


class Benchmark:
    """Makes graphs and measures them; whatever is known already from equal inputs is not done again.

    Args:
        job: Detector, data and folders.
        workshop: How processes are run.
        measurements: Steps of the worker that measure a graph.
    """

    def __init__(self, job: Job, workshop: Workshop, measurements: Sequence[str]) -> None:
        self._job = job
        self._workshop = workshop
        self._measurements = measurements

    @cached_property
    def digests(self) -> dict[str, str]:
        """What all methods depend on."""
        return {
            "checkpoint": sha256_of_file(self._job.checkpoint),
            "contract": self._job.contract.network_json(),
            "calibration": self._job.calibration_set.sha256,
            "test": self._job.test_set.sha256,
        }

    def prepare(self) -> None:
        """Writes the FP32 graph and the calibration images that all peers start from.

        Raises:
            SignoffError: The detector cannot be exported or an image cannot be read.
        """
        results = ResultFile(self._job.fp32_graph.with_name("result.json"))
        inputs = {name: digest for name, digest in self.digests.items() if name != "test"}
        inputs.update(code=code_digest("export"), **versions_of("torch", "timm", "onnx", "onnxscript"))
        known = results.get("inputs", inputs)
        if known and self._job.fp32_graph.is_file() and known["fp32"] == sha256_of_file(self._job.fp32_graph):
            return
        finished = self._workshop.run_step(self._job, REFERENCE, "inputs", self._job.fp32_graph)
        if finished.failure:
            raise SignoffError(f"the inputs of the benchmark cannot be made: {finished.failure}")
        results.put("inputs", inputs, {"fp32": sha256_of_file(self._job.fp32_graph)})

    def run(self, method: Method) -> Outcome:
        """Makes and measures a method; a failure becomes part of the outcome and is tried again next time."""
        results = self._results(method)
        inputs = inputs_of_making(self._job, method, self.digests)
        made = self._known_graph(method, results, inputs)
        if made is None or FAILURE in made:
            print(f"{method.name}: making the graph", flush=True)
            made = results.put("make", inputs, made_graph(self._job, method, self._workshop))
        return self._outcome(method, made, results)

    def known(self, method: Method) -> Outcome | None:
        """Returns the outcome of a method that was made before from equal inputs, None if it was not.

        What was not measured yet is measured, so that a change of the linter, say, does not cost the row.
        """
        results = self._results(method)
        made = self._known_graph(method, results, inputs_of_making(self._job, method, self.digests))
        return None if made is None else self._outcome(method, made, results)

    def _results(self, method: Method) -> ResultFile:
        return ResultFile(self._job.folder(method.name) / "result.json")

    def _known_graph(self, method: Method, results: ResultFile, inputs: Mapping[str, Any]) -> dict[str, Any] | None:
        made = results.get("make", inputs)
        graph = graph_of(self._job, method)
        if made and FAILURE not in made and (not graph.is_file() or sha256_of_file(graph) != made["sha256"]):
            return None
        return made

    def _outcome(self, method: Method, made: Mapping[str, Any], results: ResultFile) -> Outcome:
        parts = {"make": made}
        if FAILURE not in made:
            for step in self._measurements:
                parts[step] = self._measured(method, step, made["sha256"], results)
        return Outcome(method, parts)

    def _measured(self, method: Method, step: str, graph_sha256: str, results: ResultFile) -> dict[str, Any]:
        inputs = {"graph": graph_sha256, **self._inputs_of_step(step)}
        known = results.get(step, inputs)
        if known is not None and FAILURE not in known:
            return known
        print(f"{method.name}: {step}", flush=True)
        finished = self._workshop.run_step(self._job, method.name, step, graph_of(self._job, method))
        if finished.failure:
            return results.put(step, inputs, {FAILURE: finished.failure})
        facts = read_json(self._job.folder(method.name) / f"{step}.json")
        return results.put(step, inputs, {**facts, **finished.cost})

    def _inputs_of_step(self, step: str) -> dict[str, str]:
        inputs: dict[str, Callable[[], dict[str, str]]] = {
            "scores": lambda: {
                **{name: self.digests[name] for name in ("test", "contract")},
                **versions_of("onnxruntime"),
            },
            "lint": lambda: {"code": code_digest("calibration")},
            "tensorrt": lambda: versions_of("tensorrt_rtx"),
            "weights": lambda: {"fp32": sha256_of_file(self._job.fp32_graph), "code": code_digest("benchmarks/peers")},
            "speed": lambda: {"fp32": sha256_of_file(self._job.fp32_graph), **versions_of("onnxruntime")},
        }
        return inputs[step]()
