"""What the scores of all variants say, from nothing but the scores."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from evaluate.aggregation import scores_from_logits
from evaluate.metrics import DEFAULT_THRESHOLD
from evaluate.record import BASELINE, VariantStatistics
from evaluate.statistics.auc_interval import auc_differences, auc_estimates, require_better_than_chance
from evaluate.statistics.clusters import cluster_numbers
from evaluate.statistics.drift import drift_from_scores
from evaluate.statistics.operating_point import fitted_threshold, operating_point
from evaluate.statistics.quality import quality_from_scores
from evaluate.statistics.slices import slices_from_scores
from export.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from evaluate.record import Video
    from evaluate.statistics.auc_interval import AucDifference, AucEstimate
    from evaluate.statistics.drift import Drift
    from evaluate.statistics.operating_point import OperatingPoint, ThresholdOrigin


@dataclass(frozen=True, eq=False)
class VariantScores:
    """What one variant says about the same images as the others.

    Attributes:
        name: Its name.
        videos: Scores in [0, 1], shape (N,).
        logits: Logits of the frames, shape (M,).
        validation: Scores of the validation set's videos, shape (V,); None without one.
    """

    name: str
    videos: NDArray[np.float64]
    logits: NDArray[np.float64]
    validation: NDArray[np.float64] | None = None


@dataclass(frozen=True, eq=False)
class ScoreTable:
    """Scores of all variants.

    Attributes:
        videos: The test set's N videos.
        frame_is_fake: Labels of its M frames, shape (M,).
        variants: What each variant says.
        validation_is_fake: Labels of the validation set's videos, shape (V,); None without one.
    """

    videos: tuple[Video, ...]
    frame_is_fake: NDArray[np.bool_]
    variants: tuple[VariantScores, ...]
    validation_is_fake: NDArray[np.bool_] | None = None

    @property
    def is_fake(self) -> NDArray[np.bool_]:
        """Labels of the videos, shape (N,)."""
        return np.array([video.is_fake for video in self.videos], dtype=np.bool_)

    @property
    def clusters(self) -> tuple[str, ...]:
        """What each video is resampled with."""
        return tuple(video.cluster for video in self.videos)

    @cached_property
    def cluster_numbers(self) -> NDArray[np.int64]:
        """The same as numbers, shape (N,)."""
        return cluster_numbers(self.clusters)

    @property
    def baseline(self) -> VariantScores | None:
        """What the others are compared with."""
        return next((variant for variant in self.variants if variant.name == BASELINE), None)

    def fitted_threshold(self, variant: VariantScores | None) -> float | None:
        """Returns the threshold that suits a variant's validation scores.

        None without a variant or a validation set, and where no threshold decides better there than chance.
        """
        if variant is None or variant.validation is None or self.validation_is_fake is None:
            return None
        try:
            return fitted_threshold(self.validation_is_fake, variant.validation)
        except DataError:
            return None


def statistics_of_variants(table: ScoreTable) -> dict[str, VariantStatistics]:
    """Returns the statistics of every variant by its name.

    Decisions are compared at the threshold that suits the baseline's validation scores, or else at 0.5.

    Raises:
        DataError: Scores are not finite, not those of the videos, or of one class only, or a video is listed twice, or
            the baseline, or any variant without one, surely calls fakes real and reals fake.
    """
    _require_sound(table)
    scores = np.stack([variant.videos for variant in table.variants])
    estimates = auc_estimates(table.is_fake, scores, table.clusters)
    for variant, estimate in zip(table.variants, estimates, strict=True):
        # Without a baseline, nothing else would tell that labels or fake index are inverted.
        if variant is table.baseline or table.baseline is None:
            require_better_than_chance(variant.name, estimate)
    differences = _differences(table)
    frozen = table.fitted_threshold(table.baseline)
    return {
        variant.name: _statistics(table, variant, estimate, differences.get(variant.name), frozen)
        for variant, estimate in zip(table.variants, estimates, strict=True)
    }


def _differences(table: ScoreTable) -> dict[str, AucDifference]:
    baseline = table.baseline
    others = [variant for variant in table.variants if variant is not baseline]
    if baseline is None or not others:
        return {}
    scores = np.stack([variant.videos for variant in others])
    differences = auc_differences(table.is_fake, scores, baseline.videos, table.clusters)
    return {variant.name: difference for variant, difference in zip(others, differences, strict=True)}


def _statistics(
    table: ScoreTable,
    variant: VariantScores,
    auc: AucEstimate,
    difference: AucDifference | None,
    frozen: float | None,
) -> VariantStatistics:
    threshold = DEFAULT_THRESHOLD if frozen is None else frozen
    baseline = table.baseline
    is_compared = baseline is not None and baseline is not variant
    return VariantStatistics(
        scores=tuple(variant.videos.tolist()),
        auc=auc,
        difference=difference,
        quality=quality_from_scores(table.is_fake, variant.videos),
        frame_quality=quality_from_scores(table.frame_is_fake, scores_from_logits(variant.logits)),
        operating_points=_operating_points(table, variant, frozen),
        drift=_drift(table, baseline, variant, threshold) if baseline is not None and is_compared else None,
        slices=slices_from_scores(
            [video.attributes for video in table.videos],
            table.is_fake,
            variant.videos,
            baseline.videos if baseline is not None and is_compared else None,
            threshold,
            table.cluster_numbers,
        ),
    )


def _operating_points(table: ScoreTable, variant: VariantScores, frozen: float | None) -> tuple[OperatingPoint, ...]:
    thresholds: dict[ThresholdOrigin, float | None] = {
        "default": DEFAULT_THRESHOLD,
        "frozen": frozen,
        "refitted": table.fitted_threshold(variant),
    }
    return tuple(
        operating_point(origin, threshold, table.is_fake, variant.videos, table.cluster_numbers)
        for origin, threshold in thresholds.items()
        if threshold is not None
    )


def _drift(table: ScoreTable, baseline: VariantScores, variant: VariantScores, threshold: float) -> Drift:
    return drift_from_scores(
        [video.sample for video in table.videos],
        table.is_fake,
        baseline.videos,
        variant.videos,
        table.frame_is_fake,
        (baseline.logits, variant.logits),
        threshold,
        table.cluster_numbers,
    )


def _require_sound(table: ScoreTable) -> None:
    names = [video.sample for video in table.videos]
    _require_unique("videos", names)
    _require_unique("variants", [variant.name for variant in table.variants])
    if not table.variants:
        raise DataError("no variant has scores; build engines and score them")
    for variant in table.variants:
        _require_shape(f"{variant.name} has {{}} scores of videos", variant.videos, len(names))
        _require_shape(f"{variant.name} has {{}} logits of frames", variant.logits, table.frame_is_fake.size)
        if variant.validation is not None and table.validation_is_fake is not None:
            size = table.validation_is_fake.size
            _require_shape(f"{variant.name} has {{}} scores of the validation set", variant.validation, size)


def _require_unique(what: str, names: Sequence[str]) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise DataError(f"the scores list {twice[0]} twice among {len(names)} {what}; score the engines again")


def _require_shape(found: str, values: NDArray[np.float64], expected: int) -> None:
    if values.shape != (expected,):
        raise DataError(f"{found.format(values.shape)}; expected {expected}: score all engines on one test set")
    broken = int(np.sum(~np.isfinite(values)))
    if broken:
        raise DataError(f"{found.format(values.shape)}, {broken} of them NaN or infinite; the engine computes garbage")
