"""The scores that thresholds are fitted to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from calibration.samples import require_disjoint
from evaluate.faceless import faceless_of_facts, videos_at_half
from evaluate.scores import video_scores_from_frames
from evaluate.scoring.score_files import read_frame_scores
from export.errors import ArtifactError, DataError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from calibration.samples import FacelessVideo
    from evaluate.evaluated import EvaluatedVariant
    from evaluate.scores import FrameScore, ScoreSet
    from evaluate.scoring.session import Session
    from export.sidecar import Artifact


@dataclass(frozen=True)
class ValidationScores:
    """Scores of the validation set's videos by every engine.

    Attributes:
        sha256: Digest of names, labels and contents of the set.
        root: Where it lay when it was scored.
        of_variant: Variant -> scores, those of all variants in the same order.
        faceless: Videos of the set that have no face.
    """

    sha256: str
    root: str
    of_variant: Mapping[str, ScoreSet]
    faceless: tuple[FacelessVideo, ...] = ()

    @property
    def first(self) -> ScoreSet:
        """The scores of the first variant; videos and labels are those of all."""
        return next(iter(self.of_variant.values()))


@dataclass(frozen=True)
class _Origins:
    videos: frozenset[str]
    identities: frozenset[str]


def validation_of_variants(session: Session, evaluated: Sequence[EvaluatedVariant]) -> ValidationScores | None:
    """Returns every variant's scores of the validation set; None if there is none."""
    artifacts = {e.scored.variant.name: e.validation for e in evaluated if e.validation is not None}
    return validation_scores(session, artifacts) if artifacts else None


def validation_scores(session: Session, artifacts: Mapping[str, Artifact]) -> ValidationScores:
    """Reads the scores of one validation set by every variant and makes the videos' scores of them.

    Raises:
        ArtifactError: Two variants were not scored on the same images.
        DataError: A class is empty, or the set shares a video or a person with the test set.
    """
    frames_of = {variant: read_frame_scores(artifact.path) for variant, artifact in artifacts.items()}
    first = next(iter(artifacts.values()))
    content = _content(frames_of[next(iter(frames_of))])
    for variant, frames in frames_of.items():
        if _content(frames) != content:
            raise ArtifactError(
                f"{artifacts[variant].path} and {first.path} hold scores of different images; delete both and score "
                "all engines on one machine"
            )
    faceless = faceless_of_facts(first.facts)
    at_half = videos_at_half(session.spec.contract, faceless)
    scores = ValidationScores(
        sha256=first.recipe.parents["validation"],
        root=str(first.facts["root"]),
        of_variant={
            variant: video_scores_from_frames(frames, session.aggregation, at_half)
            for variant, frames in frames_of.items()
        },
        faceless=faceless,
    )
    fakes, videos = int(scores.first.is_fake.sum()), len(scores.first.videos)
    if fakes in (0, videos):
        raise DataError(
            f"{videos - fakes} real and {fakes} fake videos of the validation set {scores.root} have scores; a "
            "threshold needs both classes: check the images that do not decode"
        )
    videos_of_set = frozenset(video for video, *_ in content)
    require_disjoint(_Origins(videos_of_set, frozenset(first.facts["identities"])), session.samples, "validation")
    return scores


def _content(frames: tuple[FrameScore, ...]) -> frozenset[tuple[str, str, str, bool]]:
    return frozenset((frame.video, frame.frame, frame.path, frame.is_fake) for frame in frames)
