"""What one set of scores is worth, by the field's metrics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FALSE_POSITIVE_RATES = (0.01, 0.05, 0.10)


@dataclass(frozen=True)
class RecallAtRate:
    """Largest share of the fakes that is found while at most a given share of the reals is called fake.

    Attributes:
        false_positive_rate: The share of the reals (BPCER in ISO/IEC 30107-3).
        true_positive_rate: The share of the fakes (1 - APCER).
    """

    false_positive_rate: float
    true_positive_rate: float


@dataclass(frozen=True)
class ReliabilityBin:
    """Scores that are alike, and how often they are right.

    Attributes:
        low: Lower end of the bin.
        high: Upper end.
        count: Scores in it.
        mean_score: Their mean; 0.0 of none.
        fake_share: Share of fakes among them; 0.0 of none.
    """

    low: float
    high: float
    count: int
    mean_score: float
    fake_share: float


@dataclass(frozen=True)
class Quality:
    """Metrics of scores in [0, 1] as probabilities of being fake.

    Attributes:
        samples: Number of scores.
        auc: Area under the ROC curve.
        average_precision: Area under the precision-recall curve, as a step function.
        equal_error_rate: Where both error rates are equal, interpolated on the ROC curve.
        recalls: True-positive rates at 1, 5 and 10 % false positives.
        log_loss: Mean negative log likelihood, in nats.
        brier: Mean squared error of the score.
        calibration_error: Expected calibration error over ten equal bins.
        reliability: Those bins.
    """

    samples: int
    auc: float
    average_precision: float
    equal_error_rate: float
    recalls: tuple[RecallAtRate, ...]
    log_loss: float
    brier: float
    calibration_error: float
    reliability: tuple[ReliabilityBin, ...]


def quality_from_scores(is_fake: NDArray[np.bool_], scores: NDArray[np.float64]) -> Quality:
    """Returns all metrics of labels (N,) and scores (N,)."""
    raise NotImplementedError
