"""Every variant's ladder: from the checkpoint by way of PyTorch and ONNX Runtime to the engine that was scored."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engines.backend import backend_from_name
from evaluate.ladder import StageScores, ladder_from_scores
from evaluate.ladder_frames import ONNXRUNTIME, graph_frames, torch_frames
from evaluate.maps.source_models import source_weights
from evaluate.metrics import DEFAULT_THRESHOLD
from evaluate.scoring.engine_files import is_built_from
from evaluate.scoring.frame_files import FRAMES_KIND
from evaluate.scoring.score_files import read_frame_scores
from export.errors import ArtifactError
from export.sidecar import read_artifact, sidecar_path
from export.variant import DENSE, Precision, name_from_parts
from export.versions import versions_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from evaluate.evaluated import EvaluatedVariant
    from evaluate.evaluated_run import EvaluatedRun
    from evaluate.ladder import LadderStep, Stage
    from evaluate.scoring.session import Session
    from export.sidecar import Artifact


def ladder_of_variants(session: Session, run: EvaluatedRun) -> Mapping[str, tuple[LadderStep, ...]]:
    """Scores the test set by every stage that has no scores yet, and compares each with the one before.

    Stages that variants share are scored once. Where the backend is ONNX Runtime on the CPU, the engine is the graph
    itself, and its scores are those of that stage.

    Args:
        session: Run folder, test set and backend.
        run: The variants, scored on the same images, and the thresholds that decide.

    Returns:
        Name of a variant -> its stages in order: checkpoint, pruned (of a pruned variant), ONNX, graph (unless it is
        FP32, so that the ONNX is its graph), engine (unless the backend is ONNX Runtime on the CPU).

    Raises:
        ArtifactError: A model or graph is gone, was changed, or is not what the variant was made from.
        BackendError: ONNX Runtime is not installed, or refuses a graph.
        SignoffError: An image does not decode here.
    """
    stages = _Stages(session, run.variants)
    ladders = {}
    for entry in run.variants:
        name = entry.scored.variant.name
        point = run.statistics[name].deciding
        threshold = DEFAULT_THRESHOLD if point is None else point.threshold
        ladders[name] = ladder_from_scores(stages.of(entry), run.aggregation, session.at_half, threshold)
    return ladders


class _Stages:
    """The stages of all variants, each read once."""

    def __init__(self, session: Session, evaluated: Sequence[EvaluatedVariant]) -> None:
        self._session = session
        # What the report is about: the same frames for all variants, without those that some engine could not read.
        self._paths = {frame.path for entry in evaluated for frame in entry.frame_scores}
        self._skips = len(self._paths) < len(session.samples.samples)
        # What is wrong is told before minutes of work.
        backend_from_name(ONNXRUNTIME).versions()
        self._exported = {entry.scored.variant.name: self._fp32(entry) for entry in evaluated}
        self._engines = {entry.graph.sha256: entry.frames for entry in evaluated if session.backend.name == ONNXRUNTIME}
        self._read: dict[tuple[Stage, str], StageScores] = {}

    def of(self, entry: EvaluatedVariant) -> list[StageScores]:
        variant = entry.scored.variant
        found = [self._torch("checkpoint", DENSE)]
        if variant.source != DENSE:
            found.append(self._torch("pruned", variant.source))
        exported = name_from_parts(Precision.FP32, variant.pruning)
        found.append(self._graph("ONNX", exported, self._exported[variant.name]))
        if variant.name != exported:
            found.append(self._graph("graph", variant.name, entry.graph))
        if self._session.backend.name != ONNXRUNTIME:
            found.append(StageScores("engine", _runner(entry.frames), entry.frame_scores))
        return found

    def _torch(self, stage: Stage, source: str) -> StageScores:
        if (stage, source) not in self._read:
            frames = torch_frames(self._session, source, self._skips)
            self._read[stage, source] = self._stage(stage, frames)
        return self._read[stage, source]

    def _graph(self, stage: Stage, name: str, graph: Artifact) -> StageScores:
        if (stage, name) not in self._read:
            frames = self._engines.get(graph.sha256) or self._stored_engine(name, graph)
            if frames is None:
                frames = graph_frames(self._session, name, graph, self._skips)
            self._read[stage, name] = self._stage(stage, frames)
        return self._read[stage, name]

    def _fp32(self, entry: EvaluatedVariant) -> Artifact:
        """Returns the FP32 graph of the variant's source, which must be what the variant's own was made from."""
        session, variant, graph = self._session, entry.scored.variant, entry.graph
        name = name_from_parts(Precision.FP32, variant.pruning)
        fp32 = graph if variant.name == name else read_artifact(session.run.onnx(name))
        if fp32 is not graph and graph.recipe.parents.get("fp32") != fp32.sha256:
            raise ArtifactError(f"{graph.path} was made from another graph than {fp32.path}; run build-engines again")
        weights, digest = source_weights(session.run, session.spec, variant.source)
        if fp32.recipe.parents.get("weights") != digest:
            raise ArtifactError(f"{fp32.path} was exported from other weights than {weights}; run build-engines again")
        return fp32

    def _stored_engine(self, name: str, graph: Artifact) -> Artifact | None:
        """Returns what an earlier command scored with ONNX Runtime's engine of this graph, with all of these images."""
        run = self._session.run
        engine_at, frames_at = run.engine(name, ONNXRUNTIME, ".onnx"), run.frames(name, ONNXRUNTIME)
        if not all(path.is_file() and sidecar_path(path).is_file() for path in (engine_at, frames_at)):
            return None
        engine, frames = read_artifact(engine_at), read_artifact(frames_at)
        options = frames.recipe.options
        current = (
            is_built_from(engine, graph)
            and frames.recipe.kind == FRAMES_KIND
            and frames.recipe.parents == {"engine": engine.sha256, "test": self._session.samples.sha256}
            and options.get("contract") == self._session.spec.contract.network_json()
            and options.get("backend") == versions_of(*options.get("backend", {}))
            and {frame.path for frame in read_frame_scores(frames_at)} >= self._paths
        )
        return frames if current else None

    def _stage(self, stage: Stage, artifact: Artifact) -> StageScores:
        frames = tuple(frame for frame in read_frame_scores(artifact.path) if frame.path in self._paths)
        lacking = sorted(self._paths - {frame.path for frame in frames})
        if lacking:
            raise ArtifactError(
                f"{artifact.path} has no score of {len(lacking)} images that the engines have, such as {lacking[0]}, "
                "because they do not decode here; copy them again"
            )
        return StageScores(stage, _runner(artifact), frames)


def _runner(frames: Artifact) -> str:
    return f"{frames.facts['backend']} ({frames.facts['device']})"
