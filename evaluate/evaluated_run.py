"""All variants of a run: their scores side by side, and what those say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from evaluate.score_table import score_table
from evaluate.validation_scores import validation_of_variants
from evaluate.variant_statistics import statistics_of_variants

if TYPE_CHECKING:
    from collections.abc import Mapping

    from evaluate.evaluated import EvaluatedVariant
    from evaluate.record import VariantStatistics, Video
    from evaluate.scoring.session import Session
    from evaluate.validation_scores import ValidationScores
    from export.face_contract import Aggregation


@dataclass(frozen=True)
class EvaluatedRun:
    """What the report's numbers are taken from.

    Attributes:
        variants: Scores and files of every variant.
        validation: Every variant's scores of the validation set; None without one.
        videos: The test set's videos that the report is about.
        statistics: Variant -> what its scores of them say.
        aggregation: What made a video's score of its frames'.
    """

    variants: tuple[EvaluatedVariant, ...]
    validation: ValidationScores | None
    videos: tuple[Video, ...]
    statistics: Mapping[str, VariantStatistics]
    aggregation: Aggregation = "mean-probability"


def evaluated_run(session: Session, variants: tuple[EvaluatedVariant, ...]) -> EvaluatedRun:
    """Compares the variants.

    Args:
        session: Test set, validation set, and what makes a video's score of its frames'.
        variants: Scores and files of every variant.

    Raises:
        ArtifactError: The scores of two variants are not of the same videos or images.
        DataError: The scores are of one class only, or the baseline calls fakes real and reals fake, or the validation
            set shares a video or a person with the test set.
    """
    validation = validation_of_variants(session, variants)
    table = score_table(session, variants, validation)
    return EvaluatedRun(variants, validation, table.videos, statistics_of_variants(table), session.aggregation)
