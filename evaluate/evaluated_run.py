"""All variants of a run: their scores side by side, and what those say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from evaluate.score_table import score_table
from evaluate.validation_scores import validation_of_variants
from evaluate.variant_statistics import statistics_of_variants

if TYPE_CHECKING:
    from collections.abc import Mapping

    from calibration.samples import SampleSet
    from evaluate.evaluated import EvaluatedVariant
    from evaluate.record import VariantStatistics, Video
    from evaluate.validation_scores import ValidationScores


@dataclass(frozen=True)
class EvaluatedRun:
    """What the report's numbers are taken from.

    Attributes:
        variants: Scores and files of every variant.
        validation: Every variant's scores of the validation set; None without one.
        videos: The test set's videos that the report is about.
        statistics: Variant -> what its scores of them say.
    """

    variants: tuple[EvaluatedVariant, ...]
    validation: ValidationScores | None
    videos: tuple[Video, ...]
    statistics: Mapping[str, VariantStatistics]


def evaluated_run(variants: tuple[EvaluatedVariant, ...], test: SampleSet) -> EvaluatedRun:
    """Compares the variants.

    Args:
        variants: Scores and files of every variant.
        test: The test set.

    Raises:
        ArtifactError: The scores of two variants are not of the same videos or images.
        DataError: The scores are of one class only, or the baseline calls fakes real and reals fake, or the validation
            set shares a video or a person with the test set.
    """
    validation = validation_of_variants(variants, test)
    table = score_table(test, variants, validation)
    return EvaluatedRun(variants, validation, table.videos, statistics_of_variants(table))
