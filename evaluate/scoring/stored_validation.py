"""Scores of a validation set that another machine made, or an earlier command, taken as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluate.scoring.frame_files import FRAMES_KIND
from export.errors import ArtifactError
from export.sidecar import read_artifact, sidecar_path

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evaluate.scoring.session import Session
    from export.sidecar import Artifact
    from export.variant import Variant


def stored_validation(session: Session, engines: Sequence[tuple[Variant, Artifact]]) -> dict[Variant, Artifact]:
    """Returns the validation scores of every engine, or none at all, and says then why.

    Args:
        session: With a validation set, the scores must be those of it; without one, they must only be of one and the
            same set.
        engines: The engines whose scores the report is about.

    Raises:
        ArtifactError: There is a validation set, and an engine has no scores of it; or scores were changed.
    """
    samples = session.validation.samples
    scores = {variant: _stored(session, variant, engine) for variant, engine in engines}
    found = {variant: artifact for variant, artifact in scores.items() if artifact is not None}
    sets = {artifact.recipe.parents["validation"] for artifact in found.values()}
    lack = ""
    if len(found) < len(scores):
        lack = f"{len(scores) - len(found)} of {len(scores)} engines have no scores of a validation set"
    elif samples is not None and sets != {samples.sha256}:
        lack = f"the scores in {session.run.root} are of another validation set than {samples.root}"
    elif len(sets) > 1:
        lack = "the engines were scored on different validation sets"
    if not lack:
        return found
    if samples is not None:
        raise ArtifactError(f"{lack}: {_remedy(session)}")
    session.announce(f"no threshold will be fitted: {lack}; to have one, {_remedy(session)}")
    return {}


def _stored(session: Session, variant: Variant, engine: Artifact) -> Artifact | None:
    """Returns the scores of an engine; those of an earlier one are none of it."""
    path = session.run.validation(variant.name, session.backend.name)
    if not path.is_file() or not sidecar_path(path).is_file():
        return None
    stored = read_artifact(path)
    recipe, contract = stored.recipe, session.spec.contract.network_json()
    is_its_own = recipe.parents.get("engine") == engine.sha256 and recipe.options.get("contract") == contract
    return stored if is_its_own and recipe.kind == FRAMES_KIND and "validation" in recipe.parents else None


def _remedy(session: Session) -> str:
    run, backend = session.run.root, session.backend.name
    return (
        f"run 'evaluate-engines {run} --test DIR --backend {backend} --scores-only --validation DIR' where the engines "
        f"run, and copy {run / 'results'} back"
    )
