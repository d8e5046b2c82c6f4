"""What another machine measured: scores and latency that came back with the run folder, taken as they are."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from evaluate.scoring.engine_files import engine_of
from evaluate.scoring.frame_files import FRAMES_KIND
from evaluate.scoring.measuring import MeasuredEngine
from evaluate.scoring.stored_validation import stored_validation
from export.errors import ArtifactError
from export.sidecar import read_artifact, sidecar_path

if TYPE_CHECKING:
    from evaluate.scoring.session import Session
    from export.sidecar import Artifact
    from export.variant import Variant


def stored_engines(session: Session) -> tuple[MeasuredEngine, ...]:
    """Returns every engine of the session's backend with the scores that the run folder has of it.

    Neither the backend's package nor its device is needed: what ran an engine is in the facts of its scores.

    Raises:
        ArtifactError: An engine has no scores, or they were changed, or are those of another engine or test set; the
            message says what to run where.
    """
    variants = session.spec.variants_for(session.backend.name)
    _require_all(session, variants)
    stored = tuple(_stored(session, variant) for variant in variants)
    validations = stored_validation(session, [(entry.variant, entry.engine) for entry in stored])
    return tuple(replace(entry, validation=validations.get(entry.variant)) for entry in stored)


def _require_all(session: Session, variants: tuple[Variant, ...]) -> None:
    paths = [session.run.frames(variant.name, session.backend.name) for variant in variants]
    missing = [path for path in paths if not path.is_file() or not sidecar_path(path).is_file()]
    if missing:
        raise ArtifactError(
            f"{len(missing)} of {len(paths)} engines for {session.backend.name} have no scores, such as {missing[0]} "
            f"with its sidecar: {_remedy(session)}"
        )


def _stored(session: Session, variant: Variant) -> MeasuredEngine:
    engine = engine_of(session.run, variant, session.backend.name)
    frames = read_artifact(session.run.frames(variant.name, session.backend.name))
    _require_scores_of(session, engine, frames)
    return MeasuredEngine(variant, engine, frames)


def _require_scores_of(session: Session, engine: Artifact, frames: Artifact) -> None:
    parents, contract = frames.recipe.parents, frames.recipe.options.get("contract")
    if frames.recipe.kind != FRAMES_KIND:
        raise ArtifactError(f"{frames.path} holds {frames.recipe.kind}; expected {FRAMES_KIND}: {_remedy(session)}")
    if parents.get("engine") != engine.sha256 or contract != session.spec.contract.network_json():
        raise ArtifactError(f"{frames.path} has the scores of another engine than {engine.path}: {_remedy(session)}")
    if parents.get("test") != session.samples.sha256:
        raise ArtifactError(
            f"{frames.path} has the scores of another test set than {session.samples.root}: pass the one that was "
            f"scored to --test, or {_remedy(session)}"
        )


def _remedy(session: Session) -> str:
    run, backend = session.run.root, session.backend.name
    return (
        f"run 'evaluate-engines {run} --test DIR --backend {backend} --scores-only' where the engines run, with the "
        f"engines of this folder, and copy {run / 'results'} back"
    )
