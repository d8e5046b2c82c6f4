"""Intervals of the AUC and of its difference to the baseline's, by DeLong and by a bootstrap of clusters."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, inf, log, sqrt
from typing import TYPE_CHECKING

import numpy as np

from evaluate.statistics.bootstrap import bootstrap_aucs
from evaluate.statistics.clusters import clusters_of
from evaluate.statistics.delong import placements
from evaluate.statistics.difference_bounds import student_quantile
from evaluate.statistics.interval import CONFIDENCE, Interval, require_confidence, wider
from evaluate.statistics.labelled_scores import labelled_scores
from evaluate.statistics.paired_auc import paired_aucs
from export.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from evaluate.statistics.difference_bounds import DifferenceBounds


@dataclass(frozen=True)
class AucEstimate:
    """An AUC and how well the test set determines it.

    Attributes:
        value: The AUC.
        delong: Its 95 % interval by DeLong, for independent videos.
        bootstrap: Its 95 % interval by the bootstrap, for independent clusters of videos.
    """

    value: float
    delong: Interval
    bootstrap: Interval

    @property
    def quoted(self) -> Interval:
        """The wider of the two."""
        return wider(self.delong, self.bootstrap)


@dataclass(frozen=True)
class AucDifference:
    """An AUC minus the baseline's on the same videos.

    Attributes:
        value: The difference; negative where AUC was lost.
        standard_error: By DeLong for paired curves.
        correlation: Of the two AUC estimates, by DeLong; None where one of them has no variance.
        delong: 95 % interval of the difference by DeLong.
        bootstrap: 95 % interval by the bootstrap of clusters, both curves on the same replicates.
    """

    value: float
    standard_error: float
    correlation: float | None
    delong: Interval
    bootstrap: Interval

    @property
    def quoted(self) -> Interval:
        """The wider of the two."""
        return wider(self.delong, self.bootstrap)


def auc_estimates(
    is_fake: NDArray[np.bool_],
    scores: NDArray[np.float64],
    clusters: Sequence[str],
    confidence: float = CONFIDENCE,
    replicates: int = 2000,
    seed: int = 0,
) -> tuple[AucEstimate, ...]:
    """Returns the AUC of each row of scores with its intervals.

    Args:
        is_fake: Labels, shape (N,).
        scores: Scores of K variants, shape (K, N).
        clusters: What each video is resampled with, such as the identity that it shows, length N.
        confidence: Of the intervals, in (0, 1).
        replicates: Of the bootstrap.
        seed: Of the bootstrap.

    Raises:
        DataError: The input is mismatched, not finite or of one class only, or the replicates are too few.
    """
    require_confidence(confidence)
    labelled, groups = labelled_scores(is_fake, scores), clusters_of(is_fake, clusters)
    curves, sampled = placements(labelled), bootstrap_aucs(labelled, groups, replicates, seed)
    smaller = min(labelled.fakes, labelled.reals)
    estimates = []
    for row, auc in enumerate(curves.aucs.tolist()):
        delong = _logit_interval(auc, sqrt(curves.covariance[row, row]), inf, smaller, confidence)
        bootstrap = Interval(0.0, 1.0)
        if sampled is not None:
            error = float(np.std(sampled[row], ddof=1))
            bootstrap = _logit_interval(auc, error, groups.smaller_class - 1, groups.independent_pairs, confidence)
        estimates.append(AucEstimate(auc, delong, bootstrap))
    return tuple(estimates)


def auc_differences(
    is_fake: NDArray[np.bool_],
    scores: NDArray[np.float64],
    baseline: NDArray[np.float64],
    clusters: Sequence[str],
    confidence: float = CONFIDENCE,
    replicates: int = 2000,
    seed: int = 0,
) -> tuple[AucDifference, ...]:
    """Returns AUC minus the baseline's for each row of scores; arguments and errors as for `auc_estimates`."""
    require_confidence(confidence)
    labelled, groups = labelled_scores(is_fake, scores), clusters_of(is_fake, clusters)
    return tuple(
        AucDifference(
            paired.difference,
            paired.standard_error,
            paired.correlation,
            _interval(paired.delong, confidence),
            _interval(paired.bootstrap, confidence),
        )
        for paired in paired_aucs(labelled, baseline, groups, replicates, seed)
    )


def require_better_than_chance(name: str, estimate: AucEstimate) -> None:
    """Refuses scores that rank reals above fakes beyond doubt; an AUC is never turned round.

    Args:
        name: Whose scores they are.
        estimate: Its AUC.

    Raises:
        DataError: The quoted interval lies below 0.5.
    """
    interval = estimate.quoted
    if interval.high < 0.5:
        raise DataError(
            f"{name} has an AUC of {estimate.value:.4f}, with an interval from {interval.low:.4f} to "
            f"{interval.high:.4f}: it ranks reals above fakes; check the labels and the index of the fake output"
        )


def _interval(bounds: DifferenceBounds, confidence: float) -> Interval:
    alpha = (1 - confidence) / 2
    return Interval(bounds.lower(alpha), -bounds.mirrored().lower(alpha))


def _logit_interval(auc: float, error: float, degrees: float, pairs: int, confidence: float) -> Interval:
    """Returns an interval that is symmetric about the AUC's logit (Pepe, The Statistical Evaluation of Medical Tests).

    It stays in [0, 1]. Near 1 it holds the true AUC more often than one that is symmetric about the AUC, which almost
    always misses on the same side, by too high an AUC; the tests simulate both.
    """
    # Sums of equal numbers in another order differ by roundoff alone.
    if error < 1e-12 or not 0 < auc < 1:
        return _unseen_interval(auc, pairs, confidence)
    centre = log(auc / (1 - auc))
    half = student_quantile((1 + confidence) / 2, degrees) * error / (auc * (1 - auc))
    return Interval(_expit(centre - half), _expit(centre + half))


def _unseen_interval(auc: float, pairs: int, confidence: float) -> Interval:
    """Returns the interval where all pairs of a fake and a real came out alike, such as at an AUC of 1.

    Whatever the scores' distribution, all of k independent pairs lack an outcome of probability q with a probability
    of (1 - q)^k, which bounds q (Clopper and Pearson, Biometrika 1934).
    """
    unseen = 1 - ((1 - confidence) / 2) ** (1 / pairs)
    return Interval(auc * (1 - unseen), auc * (1 - unseen) + unseen)


def _expit(logit: float) -> float:
    return 1 / (1 + exp(-logit)) if logit > 0 else exp(logit) / (1 + exp(logit))
