"""Videos in which no face was found: left out, or scored 0.5 by every engine alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

from calibration.samples import FacelessVideo
from export.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from calibration.samples import SampleSet
    from export.contract import ModelContract
    from export.face_contract import NoFace

FACELESS_FAKES = "faceless_fakes"
FACELESS_REALS = "faceless_reals"


def policy_of(contract: ModelContract) -> NoFace:
    """Returns what becomes of videos without a face; they are left out where the model file does not say."""
    return contract.faces.no_face if contract.faces is not None else "exclude"


def videos_at_half(contract: ModelContract, faceless: Iterable[FacelessVideo]) -> tuple[FacelessVideo, ...]:
    """Returns the videos without a face that are scored 0.5, sorted by name: all of them or none."""
    return tuple(sorted(faceless, key=lambda video: video.video)) if policy_of(contract) == "half" else ()


def require_faces(contract: ModelContract, samples: SampleSet, purpose: str) -> None:
    """Refuses videos without a face where the model file calls them an error.

    Raises:
        DataError: There are some.
    """
    if policy_of(contract) == "error" and samples.faceless:
        raise DataError(
            f"no face was found in {len(samples.faceless)} videos of the {purpose} set {samples.root}, such as "
            f"{samples.faceless[0].video}, and no_face of the model file is 'error'; take them out of the set, or set "
            "no_face to 'exclude' or 'half'"
        )


def facts_of_faceless(samples: SampleSet) -> dict[str, list[str]]:
    """Returns what a sidecar says about the videos without a face."""
    return {
        FACELESS_FAKES: sorted(video.video for video in samples.faceless if video.is_fake),
        FACELESS_REALS: sorted(video.video for video in samples.faceless if not video.is_fake),
    }


def faceless_of_facts(facts: Mapping[str, Any]) -> tuple[FacelessVideo, ...]:
    """Reads what `facts_of_faceless` returned; persons and attributes are not known."""
    labels = {FACELESS_FAKES: True, FACELESS_REALS: False}
    return tuple(FacelessVideo(video, label, ()) for key, label in labels.items() for video in facts.get(key, []))
