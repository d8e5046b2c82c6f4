"""Whether a variant is shown to lose less AUC than a margin, shown to lose more, or neither."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, isfinite
from statistics import NormalDist
from typing import TYPE_CHECKING, Literal

from evaluate.statistics.auc_interval import require_replicates
from evaluate.statistics.clusters import clusters_of
from evaluate.statistics.difference_bounds import paired_differences
from evaluate.statistics.labelled_scores import labelled_scores
from export.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from evaluate.statistics.difference_bounds import DifferenceBounds

POWER = 0.8

Grade = Literal["PASS", "FAIL", "INCONCLUSIVE"]


@dataclass(frozen=True)
class NonInferiority:
    """A one-sided comparison with the baseline.

    Attributes:
        grade: PASS if the lower bound is above -margin, FAIL if the upper one is below it, else INCONCLUSIVE.
        margin: Largest acceptable loss of AUC, positive.
        difference: AUC minus the baseline's.
        lower: One-sided lower bound of the difference, at the confidence that Holm's procedure leaves for it.
        upper: One-sided upper bound, likewise.
        p_value: Of the hypothesis that at least the margin is lost, adjusted by Holm over all variants.
        videos_needed: Videos of the same kind that would decide with a power of 80 % if the difference is what was
            measured; None where the grade is not INCONCLUSIVE, or no number would do.
    """

    grade: Grade
    margin: float
    difference: float
    lower: float
    upper: float
    p_value: float
    videos_needed: int | None = None


def noninferiority_of_all(
    is_fake: NDArray[np.bool_],
    scores: NDArray[np.float64],
    baseline: NDArray[np.float64],
    clusters: Sequence[str],
    margins: Sequence[float],
    confidence: float = 0.95,
    replicates: int = 2000,
    seed: int = 0,
) -> tuple[NonInferiority, ...]:
    """Compares each row of scores (K, N) with the baseline (N,), each with its own margin, at one family-wise level.

    Both DeLong and the bootstrap of clusters must agree: the less favourable bound counts. PASS and FAIL are two
    families of hypotheses, and in each the chance of a single false one among all variants is at most 1 - confidence.

    Args:
        is_fake: Labels, shape (N,).
        scores: Scores of K variants, shape (K, N).
        baseline: The baseline's scores, shape (N,).
        clusters: What each video is resampled with, length N.
        margins: Largest acceptable loss of each variant, length K, in (0, 1).
        confidence: Of all verdicts together, in (0, 1).
        replicates: Of the bootstrap.
        seed: Of the bootstrap.

    Raises:
        DataError: As for `auc_estimates`, or a margin is not in (0, 1), or they are not one per variant.
    """
    labelled, groups = labelled_scores(is_fake, scores), clusters_of(is_fake, clusters)
    _check_margins(margins, len(labelled.scores))
    require_replicates(replicates, (1 - confidence) / max(1, len(margins)))
    paired = paired_differences(labelled, baseline, groups, replicates, seed)
    kept = [_Agreed((one.delong, one.bootstrap)) for one in paired]
    lost = [_Agreed((one.delong.mirrored(), one.bootstrap.mirrored())) for one in paired]
    p_values = [one.p_value(-margin) for one, margin in zip(kept, margins, strict=True)]
    levels = _levels(p_values, 1 - confidence)
    levels_lost = _levels([one.p_value(margin) for one, margin in zip(lost, margins, strict=True)], 1 - confidence)
    adjusted = holm(p_values)
    return tuple(
        _verdict(
            margins[index],
            paired[index].value,
            (kept[index].lower(levels[index]), -lost[index].lower(levels_lost[index])),
            (levels[index], levels_lost[index]),
            adjusted[index],
            labelled.is_fake.size,
        )
        for index in range(len(margins))
    )


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Returns p-values adjusted by Holm's step-down procedure (Holm, Scandinavian Journal of Statistics 1979)."""
    adjusted, largest = [0.0] * len(p_values), 0.0
    for done, index in enumerate(_ascending(p_values)):
        largest = max(largest, min(1.0, (len(p_values) - done) * p_values[index]))
        adjusted[index] = largest
    return tuple(adjusted)


@dataclass(frozen=True)
class _Agreed:
    """What all of several methods grant."""

    methods: tuple[DifferenceBounds, ...]

    def lower(self, alpha: float) -> float:
        return min(method.lower(alpha) for method in self.methods)

    def p_value(self, value: float) -> float:
        return max(method.p_value(value) for method in self.methods)


def _levels(p_values: Sequence[float], alpha: float) -> list[float]:
    """Returns the level at which Holm's procedure tests each hypothesis: where it stops, all that are left."""
    levels, level = [alpha] * len(p_values), 0.0
    stopped = False
    for done, index in enumerate(_ascending(p_values)):
        if not stopped:
            level = alpha / (len(p_values) - done)
            stopped = p_values[index] > level
        levels[index] = level
    return levels


def _ascending(p_values: Sequence[float]) -> list[int]:
    return sorted(range(len(p_values)), key=lambda index: p_values[index])


def _verdict(
    margin: float,
    difference: float,
    bounds: tuple[float, float],
    levels: tuple[float, float],
    p_value: float,
    videos: int,
) -> NonInferiority:
    lower, upper = bounds
    if lower > -margin:
        return NonInferiority("PASS", margin, difference, lower, upper, p_value)
    if upper < -margin:
        return NonInferiority("FAIL", margin, difference, lower, upper, p_value)
    if difference > -margin:
        needed = _videos_needed(videos, difference + margin, difference - lower, levels[0])
    else:
        needed = _videos_needed(videos, -margin - difference, upper - difference, levels[1])
    return NonInferiority("INCONCLUSIVE", margin, difference, lower, upper, p_value, needed)


def _videos_needed(videos: int, distance: float, reached: float, alpha: float) -> int | None:
    """Returns how many videos shorten a bound's distance from the difference enough for the power.

    The distance is z(1 - alpha) standard errors, which shrink with the root of the number of videos; for a decision in
    a share `POWER` of all test sets, z(1 - alpha) + z(POWER) of them must fit between the difference and the margin.
    """
    if distance == 0:
        return None
    normal = NormalDist()
    at_level = normal.inv_cdf(1 - alpha)
    return ceil(videos * ((at_level + normal.inv_cdf(POWER)) / at_level * reached / distance) ** 2)


def _check_margins(margins: Sequence[float], variants: int) -> None:
    if len(margins) != variants:
        raise DataError(f"{len(margins)} margins for {variants} variants; expected one of each")
    for margin in margins:
        if not (isfinite(margin) and 0 < margin < 1):
            raise DataError(f"margin of {margin}; expected the largest acceptable loss of AUC, between 0 and 1")
