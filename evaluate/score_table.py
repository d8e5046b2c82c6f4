"""The scores of a run's variants side by side, with what is known of the videos."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from evaluate.record import Video
from evaluate.scores import sample_names_from_videos, strongest_faces
from evaluate.statistics.clusters import cluster_names
from evaluate.variant_statistics import ScoreTable, VariantScores
from export.errors import ArtifactError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from calibration.samples import FacelessVideo, Sample, SampleSet
    from evaluate.evaluated import EvaluatedVariant
    from evaluate.scores import VideoScore
    from evaluate.scoring.session import Session
    from evaluate.validation_scores import ValidationScores


def score_table(
    session: Session, evaluated: Sequence[EvaluatedVariant], validation: ValidationScores | None
) -> ScoreTable:
    """Puts the scores of all variants side by side; of a frame's faces, the one that scores highest stands for it.

    Args:
        session: The test set, and what becomes of its videos without a face.
        evaluated: Every variant's scores of the same videos.
        validation: Every variant's scores of the validation set, if there is one.

    Raises:
        ArtifactError: The scores of two variants are not of the same videos.
    """
    first = evaluated[0]
    names = [(video.sample, video.is_fake) for video in first.scored.scores.videos]
    for entry in evaluated:
        if [(video.sample, video.is_fake) for video in entry.scored.scores.videos] != names:
            raise ArtifactError(
                f"{entry.scores.path} and {first.scores.path} are not of the same videos; delete both and "
                "evaluate again"
            )
    return ScoreTable(
        videos=_videos(session, first),
        frame_is_fake=np.array([frame.is_fake for frame in strongest_faces(first.frame_scores)], dtype=np.bool_),
        variants=tuple(_variant(entry, validation) for entry in evaluated),
        validation_is_fake=None if validation is None else validation.first.is_fake,
    )


def _variant(entry: EvaluatedVariant, validation: ValidationScores | None) -> VariantScores:
    name = entry.scored.variant.name
    return VariantScores(
        name=name,
        videos=entry.scored.scores.scores,
        logits=np.array([frame.logit for frame in strongest_faces(entry.frame_scores)], dtype=np.float64),
        validation=None if validation is None else validation.of_variant[name].scores,
    )


def _videos(session: Session, entry: EvaluatedVariant) -> tuple[Video, ...]:
    origins = {video.video: _origin(video) for video in session.at_half}
    origins |= {video: _origin_of_images(images) for video, images in _images_by_video(session.samples).items()}
    scored = {frame.video for frame in entry.frame_scores} | {video.video for video in session.at_half}
    video_of = {sample: video for video, sample in sample_names_from_videos(scored).items()}
    scores = entry.scored.scores.videos
    videos = [video_of[score.sample] for score in scores]
    clusters = cluster_names(videos, [origins[video].identities for video in videos])
    return tuple(
        _video(score, video, cluster, origins[video])
        for score, video, cluster in zip(scores, videos, clusters, strict=True)
    )


def _images_by_video(samples: SampleSet) -> dict[str, list[Sample]]:
    images: dict[str, list[Sample]] = {}
    for sample in samples.samples:
        images.setdefault(sample.video, []).append(sample)
    return images


@dataclass(frozen=True)
class _Origin:
    identities: tuple[str, ...]
    attributes: dict[str, str]


def _origin(video: FacelessVideo) -> _Origin:
    return _Origin(video.identities, dict(video.attributes))


def _origin_of_images(images: Sequence[Sample]) -> _Origin:
    """Returns what all images of a video share."""
    shared = set(images[0].attributes).intersection(*(image.attributes for image in images[1:]))
    return _Origin(images[0].identities, dict(sorted(shared)))


def _video(score: VideoScore, video: str, cluster: str, origin: _Origin) -> Video:
    """Describes a video; columns of the data set's own go before folder and identity."""
    folder = video.rpartition("/")[0]
    named = {"folder": folder} if folder else {}
    if origin.identities and not _is_name_of(origin.identities[0], video):
        named["identity"] = origin.identities[0]
    return Video(score.sample, score.is_fake, cluster, {**named, **origin.attributes}, has_face=bool(score.path))


def _is_name_of(identity: str, video: str) -> bool:
    """Tells whether a video is its own person, because nothing is known of who is in it."""
    return identity in (video, video.rpartition(".")[0])
