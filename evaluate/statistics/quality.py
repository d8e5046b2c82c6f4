"""What one set of scores is worth, by the field's metrics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from evaluate.metrics import checked_scores, roc_auc
from evaluate.statistics.score_levels import ScoreLevels, score_levels
from export.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

FALSE_POSITIVE_RATES = (0.01, 0.05, 0.10)
_BINS = 10
# Tenths, each the nearest number to its decimal; a sum of steps would put a score of 0.3 below the edge at 0.3.
_EDGES = np.arange(_BINS + 1) / _BINS
_SMALLEST_PROBABILITY = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class RecallAtRate:
    """Largest share of the fakes that is found while at most a given share of the reals is called fake.

    Some threshold attains it: nothing is interpolated between two scores, so with few reals the rate that is attained
    can be well below the one allowed.

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
        low: Lower end of the bin, which belongs to it.
        high: Upper end, which belongs to the next bin; 1.0 belongs to the last.
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
        equal_error_rate: Where both error rates are equal, interpolated on the ROC curve between two thresholds.
        recalls: True-positive rates at 1, 5 and 10 % false positives.
        log_loss: Mean negative log likelihood, in nats; the likelihood is at least 2**-52, which keeps it finite.
        brier: Mean squared error of the score.
        calibration_error: Expected calibration error over ten bins of equal width (Naeini et al., AAAI 2015).
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
    """Returns all metrics of labels (N,) and scores (N,).

    Raises:
        DataError: The input is empty, mismatched, not finite, of one class only, or a score lies outside [0, 1].
    """
    is_fake, scores = checked_scores(is_fake, scores)
    _require_probabilities(scores)
    levels = score_levels(is_fake, scores)
    reliability = _reliability(is_fake, scores)
    gaps = [filled.count * abs(filled.mean_score - filled.fake_share) for filled in reliability]
    return Quality(
        samples=scores.size,
        auc=roc_auc(is_fake, scores),
        average_precision=_average_precision(levels),
        equal_error_rate=_equal_error_rate(levels),
        recalls=tuple(RecallAtRate(rate, _recall_at(rate, levels)) for rate in FALSE_POSITIVE_RATES),
        log_loss=_log_loss(is_fake, scores),
        brier=float(np.mean(np.square(scores - is_fake))),
        calibration_error=sum(gaps) / scores.size,
        reliability=reliability,
    )


def _require_probabilities(scores: NDArray[np.float64]) -> None:
    outside = scores[(scores < 0) | (scores > 1)]
    if outside.size:
        raise DataError(
            f"{outside.size} of {scores.size} scores lie outside [0, 1], such as {outside[0]:.6g}; "
            "expected probabilities: sigmoid(logit), not the logit"
        )


def _average_precision(levels: ScoreLevels) -> float:
    precision = levels.fakes_above / (levels.fakes_above + levels.reals_above)
    return float(np.sum(np.diff(levels.fakes_above, prepend=0) * precision) / levels.fakes)


def _equal_error_rate(levels: ScoreLevels) -> float:
    false_alarms = np.concatenate(([0.0], levels.reals_above / levels.reals))
    found = np.concatenate(([0.0], levels.fakes_above / levels.fakes))
    # Both error rates are equal where the two rates of the curve sum to one; along it that sum only grows.
    return float(np.interp(1.0, false_alarms + found, false_alarms))


def _recall_at(false_positive_rate: float, levels: ScoreLevels) -> float:
    allowed = np.flatnonzero(levels.reals_above / levels.reals <= false_positive_rate)
    return float(levels.fakes_above[allowed[-1]] / levels.fakes) if allowed.size else 0.0


def _log_loss(is_fake: NDArray[np.bool_], scores: NDArray[np.float64]) -> float:
    likelihood = np.where(is_fake, scores, 1 - scores)
    # The logarithm of the reciprocal: minus that of 1 would be -0.0.
    return float(np.mean(np.log(1 / np.maximum(likelihood, _SMALLEST_PROBABILITY))))


def _reliability(is_fake: NDArray[np.bool_], scores: NDArray[np.float64]) -> tuple[ReliabilityBin, ...]:
    chosen = np.searchsorted(_EDGES[1:-1], scores, side="right")
    counts = np.bincount(chosen, minlength=_BINS)
    filled = np.maximum(counts, 1)
    means = np.bincount(chosen, weights=scores, minlength=_BINS) / filled
    shares = np.bincount(chosen, weights=is_fake, minlength=_BINS) / filled
    return tuple(
        ReliabilityBin(*values)
        for values in zip(
            _EDGES[:-1].tolist(), _EDGES[1:].tolist(), counts.tolist(), means.tolist(), shares.tolist(), strict=True
        )
    )
