"""Scores and latency of every engine: what takes the device, and no more packages than a device has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from evaluate.scoring.engine_files import engine_of, require_built_from
from evaluate.scoring.frame_files import obtained_frames
from evaluate.scoring.labelled_images import images_of_test, images_of_validation
from evaluate.scoring.latency_files import obtained_latency
from evaluate.scoring.session import opened_session
from export.errors import BackendError
from export.sidecar import read_artifact, sidecar_path

if TYPE_CHECKING:
    from collections.abc import Callable

    from evaluate.scoring.request import EvaluationRequest
    from evaluate.scoring.session import Session
    from export.sidecar import Artifact
    from export.variant import Variant


@dataclass(frozen=True)
class MeasuredEngine:
    """What was measured of an engine.

    Attributes:
        variant: What it is an engine of.
        engine: Its file.
        frames: One logit per frame; the facts say what ran it.
        latency: How long it takes; None if that was not asked for.
        validation: One logit per frame of the validation set; None without one.
    """

    variant: Variant
    engine: Artifact
    frames: Artifact
    latency: Artifact | None = None
    validation: Artifact | None = None


def measure_engines(
    request: EvaluationRequest, announce: Callable[[str], None] = lambda _: None
) -> tuple[MeasuredEngine, ...]:
    """Writes scores and latency of every engine, and no report: `evaluate-engines --scores-only`.

    It takes the folder's spec.json and engines/, and needs neither graphs nor checkpoint.

    Args:
        request: Run folder, test set and backend.
        announce: Gets a line per file that is made.

    Raises:
        SignoffError: Anything the user can mend.
    """
    with opened_session(request, announce) as session:
        return measured_engines(session)


def measured_engines(session: Session) -> tuple[MeasuredEngine, ...]:
    """Measures every engine of the session's backend, or takes what an earlier command measured.

    Raises:
        ArtifactError: An engine is missing, was changed, or was built from an earlier graph.
        BackendError: An engine does not take the batch size, or fails.
        SignoffError: An image does not decode, or nothing does.
    """
    engines = [_checked(session, variant) for variant in session.spec.variants_for(session.backend.name)]
    return tuple(_measured(session, variant, engine) for variant, engine in engines)


def _checked(session: Session, variant: Variant) -> tuple[Variant, Artifact]:
    engine = engine_of(session.run, variant, session.backend.name)
    graph = session.run.onnx(variant.name)
    if sidecar_path(graph).is_file():  # graphs need not travel to a device; the report is made where they are
        require_built_from(engine, read_artifact(graph))
    request = session.request
    _require_profile(engine, request.batch_size, "--batch-size")
    for batch in request.latency_sizes:
        _require_profile(engine, batch, "--latency-batches")
    return variant, engine


def _require_profile(engine: Artifact, batch: int, option: str) -> None:
    profile = engine.facts.get("batch")
    if profile is None:
        return
    smallest, typical, largest = profile
    if not smallest <= batch <= largest:
        wanted = (min(smallest, batch), typical, max(largest, batch))
        raise BackendError(
            f"{engine.path.name} takes {smallest} to {largest} images per inference, but {option} asks for {batch}; "
            f"choose another {option}, or run build-engines --batch {','.join(map(str, wanted))}"
        )


def _measured(session: Session, variant: Variant, engine: Artifact) -> MeasuredEngine:
    # Latency comes first: by the time that a test set is scored, nothing is cold any more.
    latency = obtained_latency(session, variant, engine) if session.request.latency_sizes else None
    frames = obtained_frames(session, variant, engine, images_of_test(session, variant))
    images = images_of_validation(session, variant)
    validation = None if images is None else obtained_frames(session, variant, engine, images)
    return MeasuredEngine(variant, engine, frames, latency, validation)
