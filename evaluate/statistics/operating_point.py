"""Thresholds, where they come from, and the decisions that they make."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from evaluate.metrics import ConfusionCounts, confusion_at
from evaluate.statistics.decision_counts import false_alarms, missed_fakes
from evaluate.statistics.proportion import Proportion, proportion
from evaluate.statistics.score_levels import score_levels
from export.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

ThresholdOrigin = Literal["default", "frozen", "refitted"]


@dataclass(frozen=True)
class OperatingPoint:
    """A threshold and what it decides on the test set.

    Attributes:
        origin: `default` is 0.5; `frozen` was fitted to the baseline's scores of the validation set and is the same for
            all variants; `refitted` was fitted to the variant's own scores there.
        threshold: A score of at least this is called fake.
        confusion: The decisions.
        missed_fakes: Share of the fakes called real: APCER in ISO/IEC 30107-3.
        false_alarms: Share of the reals called fake: BPCER.
    """

    origin: ThresholdOrigin
    threshold: float
    confusion: ConfusionCounts
    missed_fakes: Proportion
    false_alarms: Proportion


def operating_point(
    origin: ThresholdOrigin,
    threshold: float,
    is_fake: NDArray[np.bool_],
    scores: NDArray[np.float64],
    clusters: NDArray[np.int64],
) -> OperatingPoint:
    """Decides labelled scores (N,) by a threshold; the rate of a class that is not there is 0 of 0.

    Args:
        origin: Where the threshold comes from.
        threshold: A score of at least this is called fake.
        is_fake: Labels, shape (N,).
        scores: Scores, shape (N,).
        clusters: Number of each video's cluster, shape (N,); see `clusters.cluster_numbers`.

    Raises:
        DataError: The input is empty, mismatched or not finite.
    """
    counts = confusion_at(threshold, is_fake, scores)
    return OperatingPoint(
        origin=origin,
        threshold=threshold,
        confusion=counts,
        missed_fakes=proportion(missed_fakes(is_fake, scores, threshold, clusters)),
        false_alarms=proportion(false_alarms(is_fake, scores, threshold, clusters)),
    )


def fitted_threshold(is_fake: NDArray[np.bool_], scores: NDArray[np.float64]) -> float:
    """Returns the threshold with the largest sum of both classes' accuracies (Youden, Cancer 1950).

    It lies in the middle between two neighbouring distinct scores. Where several do equally well, the middle one is
    taken, and the lower of two middle ones, which misses fewer fakes.

    Args:
        is_fake: Labels, shape (N,).
        scores: Scores, shape (N,).

    Raises:
        DataError: The input is empty, mismatched, not finite or of one class only, or no threshold between two scores
            decides better than chance.
    """
    levels = score_levels(is_fake, scores)
    # Youden's index times fakes * reals, an integer, so that equals compare equal; the last level calls all fake.
    gain = (levels.fakes_above * levels.reals - levels.reals_above * levels.fakes)[:-1]
    if not np.any(gain > 0):
        raise DataError(
            f"no threshold between the scores of {levels.fakes} fakes and {levels.reals} reals decides better than "
            "chance; check the labels, the fake index and the engine before fitting one"
        )
    best = np.flatnonzero(gain == gain.max())
    above = best[len(best) // 2]
    high, low = float(levels.scores[above]), float(levels.scores[above + 1])
    middle = low + (high - low) / 2
    # Between two adjacent numbers there is none; the upper one decides alike because a score of at least it is fake.
    return middle if middle > low else high
