"""The scores of a run's variants side by side, with what is known of the videos."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from evaluate.record import Video
from evaluate.scores import sample_names_from_videos
from evaluate.statistics.clusters import cluster_of
from evaluate.variant_statistics import ScoreTable, VariantScores
from export.errors import ArtifactError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from calibration.samples import SampleSet
    from evaluate.evaluated import EvaluatedVariant
    from evaluate.validation_scores import ValidationScores


def score_table(
    samples: SampleSet, evaluated: Sequence[EvaluatedVariant], validation: ValidationScores | None
) -> ScoreTable:
    """Puts the scores of all variants side by side.

    Args:
        samples: The test set.
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
        videos=_videos(samples, first),
        frame_is_fake=np.array([frame.is_fake for frame in first.frame_scores], dtype=np.bool_),
        variants=tuple(_variant(entry, validation) for entry in evaluated),
        validation_is_fake=None if validation is None else validation.first.is_fake,
    )


def _variant(entry: EvaluatedVariant, validation: ValidationScores | None) -> VariantScores:
    name = entry.scored.variant.name
    return VariantScores(
        name=name,
        videos=entry.scored.scores.scores,
        logits=np.array([frame.logit for frame in entry.frame_scores], dtype=np.float64),
        validation=None if validation is None else validation.of_variant[name].scores,
    )


def _videos(samples: SampleSet, entry: EvaluatedVariant) -> tuple[Video, ...]:
    identities = {sample.video: sample.identities for sample in samples.samples}
    video_of = {
        sample: video for video, sample in sample_names_from_videos(f.video for f in entry.frame_scores).items()
    }
    return tuple(
        _video(scored.sample, scored.is_fake, video_of[scored.sample], identities[video_of[scored.sample]])
        for scored in entry.scored.scores.videos
    )


def _video(sample: str, is_fake: bool, video: str, identities: tuple[str, ...]) -> Video:
    cluster = cluster_of(video, identities)
    return Video(sample, is_fake, cluster, {"folder": video.rpartition("/")[0], "identity": cluster})
