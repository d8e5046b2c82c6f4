"""Metrics of a binary fake detector: pure functions of labels and scores, where a high score means fake."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from export.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

DEFAULT_THRESHOLD = 0.5


@dataclass(frozen=True)
class ConfusionCounts:
    """Counts of decisions; fake is the positive class. A ratio whose denominator is zero is 0.0.

    Attributes:
        tp: Fakes called fake.
        tn: Reals called real.
        fp: Reals called fake.
        fn: Fakes called real.
    """

    tp: int
    tn: int
    fp: int
    fn: int

    @property
    def samples(self) -> int:
        """Number of decisions."""
        return self.tp + self.tn + self.fp + self.fn

    @property
    def precision(self) -> float:
        """Share of fakes among what is called fake."""
        return _ratio(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> float:
        """Share of the fakes that are called fake: the true-positive rate."""
        return _ratio(self.tp, self.tp + self.fn)

    @property
    def false_positive_rate(self) -> float:
        """Share of the reals that are called fake."""
        return _ratio(self.fp, self.fp + self.tn)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        return _ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn)

    @property
    def accuracy(self) -> float:
        """Share of correct decisions."""
        return _ratio(self.tp + self.tn, self.samples)


@dataclass(frozen=True)
class RocCurve:
    """Corners of the ROC curve, from (0, 0) to (1, 1), both rates non-decreasing.

    Attributes:
        false_positive_rates: Share of the reals called fake, corner by corner.
        true_positive_rates: Share of the fakes called fake, likewise.
    """

    false_positive_rates: tuple[float, ...]
    true_positive_rates: tuple[float, ...]


def roc_auc(is_fake: NDArray[np.bool_], scores: NDArray[np.floating]) -> float:
    """Returns the area under the ROC curve in [0, 1]: the chance that a fake outscores a real.

    It is the Mann-Whitney U statistic over the number of pairs, from midranks, so that a tied pair counts one half
    (Hanley and McNeil, Radiology 1982).

    Args:
        is_fake: Labels, shape (N,).
        scores: Scores, shape (N,).

    Raises:
        DataError: The input is empty, mismatched, not finite, or of one class only.
    """
    is_fake, scores = checked_scores(is_fake, scores)
    fakes, reals = class_sizes(is_fake)
    _, level, counts = np.unique(scores, return_inverse=True, return_counts=True)
    midranks = np.cumsum(counts) - (counts - 1) / 2
    pairs_won = midranks[level][is_fake].sum() - fakes * (fakes + 1) / 2
    return float(pairs_won / (fakes * reals))


def roc_curve(is_fake: NDArray[np.bool_], scores: NDArray[np.floating]) -> RocCurve:
    """Returns the ROC curve without the points that lie on a straight line between their neighbours.

    Tied scores give one sloped segment, which makes the trapezoidal area equal to `roc_auc`.

    Raises:
        DataError: As for `roc_auc`.
    """
    is_fake, scores = checked_scores(is_fake, scores)
    fakes, reals = class_sizes(is_fake)
    levels, level = np.unique(-scores, return_inverse=True)
    fakes_at_level = np.bincount(level, weights=is_fake, minlength=len(levels)).astype(np.int64)
    reals_at_level = np.bincount(level, weights=~is_fake, minlength=len(levels)).astype(np.int64)
    bends = np.flatnonzero(fakes_at_level[:-1] * reals_at_level[1:] != fakes_at_level[1:] * reals_at_level[:-1])
    corners = np.append(bends, len(levels) - 1)
    true_positive_rates = np.cumsum(fakes_at_level)[corners] / fakes
    false_positive_rates = np.cumsum(reals_at_level)[corners] / reals
    return RocCurve((0.0, *false_positive_rates.tolist()), (0.0, *true_positive_rates.tolist()))


def confusion_at(threshold: float, is_fake: NDArray[np.bool_], scores: NDArray[np.floating]) -> ConfusionCounts:
    """Counts the decisions when a score of at least `threshold` means fake.

    Raises:
        DataError: The input is empty, mismatched or not finite.
    """
    is_fake, scores = checked_scores(is_fake, scores)
    if not math.isfinite(threshold):
        raise DataError(f"the threshold is {threshold}; expected a finite score, such as {DEFAULT_THRESHOLD}")
    called_fake = scores >= threshold
    return ConfusionCounts(
        tp=int(np.sum(is_fake & called_fake)),
        tn=int(np.sum(~is_fake & ~called_fake)),
        fp=int(np.sum(~is_fake & called_fake)),
        fn=int(np.sum(is_fake & ~called_fake)),
    )


def checked_scores(
    is_fake: NDArray[np.bool_], scores: NDArray[np.floating]
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Returns labels (N,) and scores (N,) that can be judged, the latter as float64.

    Raises:
        DataError: The input is empty, mismatched or not finite.
    """
    labels = np.asarray(is_fake)
    values = np.asarray(scores, dtype=np.float64)
    if labels.dtype != np.bool_ or labels.ndim != 1 or labels.shape != values.shape:
        raise DataError(
            f"labels are {labels.dtype} {labels.shape} and scores {values.shape}; expected two vectors of one length, "
            "the labels boolean"
        )
    if values.size == 0:
        raise DataError("there are no scores to judge; check that the test set holds frames")
    if not np.isfinite(values).all():
        count = int(np.sum(~np.isfinite(values)))
        raise DataError(f"{count} of {values.size} scores are NaN or infinite; the engine computes garbage")
    return labels, values


def class_sizes(is_fake: NDArray[np.bool_]) -> tuple[int, int]:
    """Returns the numbers of fakes and of reals.

    Raises:
        DataError: One of them is zero.
    """
    fakes = int(is_fake.sum())
    reals = is_fake.size - fakes
    if fakes == 0 or reals == 0:
        raise DataError(f"the scores are of {fakes} fakes and {reals} reals; an ROC curve needs both classes")
    return fakes, reals


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
