"""Everything that the run folder has of one row of the report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evaluate.engine_files import current_engines, require_built_from
from evaluate.explanation import ScoredVariant
from evaluate.latency_files import read_latency, stored_latency
from evaluate.score_files import read_frame_scores, read_scores, write_scores
from evaluate.scores import video_scores_from_frames
from export.errors import ArtifactError
from export.sidecar import Recipe, read_artifact

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from engines.latency import LatencyRecord
    from evaluate.measuring import MeasuredEngine
    from evaluate.session import Session
    from export.sidecar import Artifact


@dataclass(frozen=True)
class EvaluatedVariant:
    """A variant's scores and files.

    Attributes:
        scored: The variant and the scores of the videos.
        engine: What was scored.
        graph: What that was built from.
        frames: The scores of the frames; the facts say what ran the engine.
        engines: Backend -> engine, for every backend whose engine was built from the graph.
        latencies: What was measured of those engines.
        stale_latencies: Backends whose latency is that of an earlier engine.
    """

    scored: ScoredVariant
    engine: Artifact
    graph: Artifact
    frames: Artifact
    engines: Mapping[str, Artifact]
    latencies: tuple[LatencyRecord, ...] = ()
    stale_latencies: tuple[str, ...] = ()


def evaluated_variants(session: Session, measured: Sequence[MeasuredEngine]) -> tuple[EvaluatedVariant, ...]:
    """Averages the frames' scores and gathers what else there is.

    Raises:
        ArtifactError: An engine was built from an earlier graph, or two engines were not scored on the same images.
    """
    for entry in measured[1:]:
        _require_same_images(measured[0].frames, entry.frames)
    return tuple(_evaluated(session, entry) for entry in measured)


def _evaluated(session: Session, measured: MeasuredEngine) -> EvaluatedVariant:
    run, variant, frames = session.run, measured.variant, measured.frames
    graph = read_artifact(run.onnx(variant.name))
    require_built_from(measured.engine, graph)
    scores = session.store.obtain(
        run.scores(variant.name),
        Recipe("scores", {"frames": frames.sha256}, {"aggregation": "mean probability"}),
        lambda path: _write_video_scores(path, frames.path),
        30_000,
    )
    engines = current_engines(run, session.spec, variant, graph)
    stored = {backend: stored_latency(run, variant, backend) for backend in engines}
    fresh = {b: a for b, a in stored.items() if a and a.recipe.parents.get("engine") == engines[b].sha256}
    return EvaluatedVariant(
        scored=ScoredVariant(variant, read_scores(scores.path), scores.sha256),
        engine=measured.engine,
        graph=graph,
        frames=frames,
        engines=engines,
        latencies=tuple(read_latency(artifact) for artifact in fresh.values()),
        stale_latencies=tuple(backend for backend, artifact in stored.items() if artifact and backend not in fresh),
    )


def _write_video_scores(path: Path, frames: Path) -> Mapping[str, Any]:
    scores = video_scores_from_frames(read_frame_scores(frames))
    write_scores(path, scores)
    return {"videos": len(scores.videos)}


def _require_same_images(first: Artifact, other: Artifact) -> None:
    """Refuses scores that cannot be compared: an image may decode on one machine and not on another."""
    one, two = first.facts["unreadable"], other.facts["unreadable"]
    if one != two:
        raise ArtifactError(
            f"{other.path} leaves out {len(two)} images and {first.path} {len(one)}, not the same ones; delete both "
            "and score all engines on one machine"
        )
