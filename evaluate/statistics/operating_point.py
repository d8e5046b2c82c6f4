"""Thresholds, where they come from, and the decisions that they make."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from evaluate.metrics import ConfusionCounts  # noqa: TC001  # decoding resolves the fields' types
from evaluate.statistics.proportion import Proportion  # noqa: TC001  # as above

if TYPE_CHECKING:
    import numpy as np
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
    origin: ThresholdOrigin, threshold: float, is_fake: NDArray[np.bool_], scores: NDArray[np.float64]
) -> OperatingPoint:
    """Decides labelled scores (N,) by a threshold."""
    raise NotImplementedError


def fitted_threshold(is_fake: NDArray[np.bool_], scores: NDArray[np.float64]) -> float:
    """Returns the threshold with the largest sum of both classes' accuracies (Youden, Cancer 1950).

    It lies in the middle between two neighbouring scores; of several such, the one nearest to their middle.
    """
    raise NotImplementedError
