"""Whether a variant is shown to lose less AUC than a margin, shown to lose more, or neither."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, inf, isfinite
from typing import TYPE_CHECKING, Literal

from evaluate.statistics.clusters import clusters_of
from evaluate.statistics.difference_bounds import AgreedBounds
from evaluate.statistics.interval import require_confidence
from evaluate.statistics.labelled_scores import labelled_scores
from evaluate.statistics.paired_auc import paired_aucs
from export.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

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
    require_confidence(confidence)
    labelled, groups = labelled_scores(is_fake, scores), clusters_of(is_fake, clusters)
    _check_margins(margins, len(labelled.scores))
    paired = paired_aucs(labelled, baseline, groups, replicates, seed)
    gained = [AgreedBounds((one.delong, one.bootstrap)) for one in paired]
    lost = [bounds.mirrored() for bounds in gained]
    p_values = [bounds.p_value(-margin) for bounds, margin in zip(gained, margins, strict=True)]
    p_values_lost = [bounds.p_value(margin) for bounds, margin in zip(lost, margins, strict=True)]
    levels, levels_lost = _levels(p_values, 1 - confidence), _levels(p_values_lost, 1 - confidence)
    verdicts = []
    for row, p_value in enumerate(holm(p_values)):
        margin, difference = margins[row], paired[row].difference
        lower, upper = gained[row].lower(levels[row]), -lost[row].lower(levels_lost[row])
        grade, needed = _grade(margin, lower, upper), None
        if grade == "INCONCLUSIVE":
            towards_pass = difference > -margin
            bounds, level = (gained[row], levels[row]) if towards_pass else (lost[row], levels_lost[row])
            needed = _videos_needed(labelled.is_fake.size, bounds, abs(difference + margin), level)
        verdicts.append(NonInferiority(grade, margin, difference, lower, upper, p_value, needed))
    return tuple(verdicts)


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Returns p-values adjusted by Holm's step-down procedure (Holm, Scandinavian Journal of Statistics 1979)."""
    adjusted, largest = [0.0] * len(p_values), 0.0
    for done, row in enumerate(_ascending(p_values)):
        largest = max(largest, min(1.0, (len(p_values) - done) * p_values[row]))
        adjusted[row] = largest
    return tuple(adjusted)


def _levels(p_values: Sequence[float], alpha: float) -> list[float]:
    """Returns the level at which Holm's procedure tests each hypothesis; where it stops, that is the level of all left.

    So a hypothesis is rejected just where its p-value is at most its level.
    """
    levels, level, stopped = [alpha] * len(p_values), alpha, False
    for done, row in enumerate(_ascending(p_values)):
        if not stopped:
            level = alpha / (len(p_values) - done)
            stopped = p_values[row] > level
        levels[row] = level
    return levels


def _ascending(p_values: Sequence[float]) -> list[int]:
    return sorted(range(len(p_values)), key=lambda row: p_values[row])


def _grade(margin: float, lower: float, upper: float) -> Grade:
    if lower > -margin:
        return "PASS"
    return "FAIL" if upper < -margin else "INCONCLUSIVE"


def _videos_needed(videos: int, bounds: AgreedBounds, distance: float, level: float) -> int | None:
    times = bounds.times_the_videos(distance, level) if distance else inf
    return ceil(videos * times) if isfinite(times) else None


def _check_margins(margins: Sequence[float], variants: int) -> None:
    if len(margins) != variants:
        raise DataError(f"{len(margins)} margins for {variants} variants; expected one of each")
    for margin in margins:
        if not 0 < margin < 1:
            raise DataError(f"margin of {margin}; expected the largest acceptable loss of AUC, above 0 and below 1")
