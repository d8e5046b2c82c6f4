"""Everything that the run folder has of one row of the report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evaluate.maps.explanation import ScoredVariant
from evaluate.scores import video_scores_from_frames
from evaluate.scoring.engine_files import current_engines, require_built_from
from evaluate.scoring.latency_files import read_latency, stored_latency
from evaluate.scoring.score_files import read_frame_scores, read_scores, write_scores
from evaluate.shared_videos import require_comparable, shared_videos
from export.sidecar import Recipe, read_artifact, sha256_of_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from engines.latency import LatencyRecord
    from evaluate.scores import FrameScore, ScoreSet
    from evaluate.scoring.measuring import MeasuredEngine
    from evaluate.scoring.session import Session
    from evaluate.shared_videos import SharedVideos
    from export.sidecar import Artifact
    from export.variant import Variant


@dataclass(frozen=True)
class EvaluatedVariant:
    """A variant's scores and files.

    Attributes:
        scored: The variant and the scores of the videos.
        engine: What was scored.
        graph: What that was built from.
        frames: The scores of the frames; the facts say what ran the engine.
        scores: The scores of the videos.
        frame_scores: The scores of the frames of those videos that the report is about, in the same order for all
            variants.
        validation: The scores of the frames of the validation set; None without one.
        left_out: Videos that are left out because this variant lacks images of them.
        engines: Backend -> engine, for every backend whose engine was built from the graph.
        latencies: What was measured of those engines.
        stale_latencies: Backends whose latency is that of an earlier engine.
    """

    scored: ScoredVariant
    engine: Artifact
    graph: Artifact
    frames: Artifact
    scores: Artifact
    frame_scores: tuple[FrameScore, ...]
    engines: Mapping[str, Artifact]
    validation: Artifact | None = None
    left_out: int = 0
    latencies: tuple[LatencyRecord, ...] = ()
    stale_latencies: tuple[str, ...] = ()


def evaluated_variants(session: Session, measured: Sequence[MeasuredEngine]) -> tuple[EvaluatedVariant, ...]:
    """Makes the videos' scores of the frames' and gathers what else there is.

    Raises:
        ArtifactError: An engine was built from an earlier graph, or an engine's scores are not those of the test set.
        DataError: An engine lacks scores that another one has, and nobody allowed that.
    """
    graphs = [_graph(session, entry) for entry in measured]
    read = {entry.variant.name: read_frame_scores(entry.frames.path) for entry in measured}
    undecodable = [frozenset(entry.frames.facts["unreadable"]) for entry in measured]
    shared = shared_videos(session.samples, read, frozenset.intersection(*undecodable))
    require_comparable(shared, session.request.allow_partial)
    return tuple(
        _evaluated(session, entry, graph, read[entry.variant.name], shared)
        for entry, graph in zip(measured, graphs, strict=True)
    )


def _graph(session: Session, measured: MeasuredEngine) -> Artifact:
    graph = read_artifact(session.run.onnx(measured.variant.name))
    require_built_from(measured.engine, graph)
    return graph


def _evaluated(
    session: Session, measured: MeasuredEngine, graph: Artifact, frames: tuple[FrameScore, ...], shared: SharedVideos
) -> EvaluatedVariant:
    run, variant = session.run, measured.variant
    scores = session.store.obtain(
        run.scores(variant.name),
        Recipe(
            "scores",
            {"frames": measured.frames.sha256},
            {"aggregation": session.aggregation, "at_half": [video.video for video in session.at_half]},
        ),
        lambda path: _write_video_scores(session, path, measured.frames.path),
        30_000,
    )
    engines = current_engines(run, session.spec, variant, graph)
    stored = {backend: stored_latency(run, variant, backend) for backend in engines}
    fresh = {b: a for b, a in stored.items() if a and a.recipe.parents.get("engine") == engines[b].sha256}
    frames = shared.frames(frames)
    return EvaluatedVariant(
        scored=_scored(session, variant, scores, frames, shared),
        engine=measured.engine,
        graph=graph,
        frames=measured.frames,
        scores=scores,
        frame_scores=frames,
        engines=engines,
        validation=measured.validation,
        left_out=shared.left_out[variant.name],
        latencies=tuple(read_latency(artifact) for artifact in fresh.values()),
        stale_latencies=tuple(backend for backend, artifact in stored.items() if artifact and backend not in fresh),
    )


def _scored(
    session: Session, variant: Variant, scores: Artifact, frames: tuple[FrameScore, ...], shared: SharedVideos
) -> ScoredVariant:
    if not shared.is_partial:
        return ScoredVariant(variant, read_scores(scores.path), scores.sha256)
    # Made again, because a video is named with its folder only where that is needed among those that are left.
    digest = sha256_of_json([scores.sha256, sorted(shared.videos)])
    return ScoredVariant(variant, _video_scores(session, frames), digest)


def _video_scores(session: Session, frames: tuple[FrameScore, ...]) -> ScoreSet:
    return video_scores_from_frames(frames, session.aggregation, session.at_half)


def _write_video_scores(session: Session, path: Path, frames: Path) -> Mapping[str, Any]:
    scores = _video_scores(session, read_frame_scores(frames))
    write_scores(path, scores)
    return {"videos": len(scores.videos)}
