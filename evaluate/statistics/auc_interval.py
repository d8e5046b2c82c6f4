"""Intervals of the AUC and of its difference to the baseline's, by DeLong and by a bootstrap of clusters."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, log, sqrt
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from evaluate.statistics.bootstrap import bootstrap_aucs
from evaluate.statistics.clusters import clusters_of
from evaluate.statistics.delong import placements
from evaluate.statistics.difference_bounds import interval_of, paired_differences
from evaluate.statistics.interval import CONFIDENCE, Interval, wider
from evaluate.statistics.labelled_scores import labelled_scores
from export.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True)
class AucEstimate:
    """An AUC and how well the test set determines it.

    Attributes:
        value: The AUC.
        delong: Its 95 % interval by DeLong.
        bootstrap: Its 95 % interval by the bootstrap of clusters.
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
    labelled, groups = labelled_scores(is_fake, scores), clusters_of(is_fake, clusters)
    require_replicates(replicates, (1 - confidence) / 2)
    curves, sampled = placements(labelled), bootstrap_aucs(labelled, groups, replicates, seed)
    estimates = []
    for row, (auc, variance) in enumerate(zip(curves.aucs, np.diag(curves.covariance), strict=True)):
        delong = _delong_interval(float(auc), float(variance), min(labelled.fakes, labelled.reals), confidence)
        bootstrap = Interval(0.0, 1.0)
        if sampled is not None:
            bootstrap = _bootstrap_interval(float(auc), np.sort(sampled[row]), groups.independent_pairs, confidence)
        estimates.append(AucEstimate(float(auc), delong, bootstrap))
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
    labelled, groups = labelled_scores(is_fake, scores), clusters_of(is_fake, clusters)
    require_replicates(replicates, (1 - confidence) / 2)
    return tuple(
        AucDifference(
            paired.value,
            paired.standard_error,
            paired.correlation,
            interval_of(paired.delong, confidence),
            interval_of(paired.bootstrap, confidence),
        )
        for paired in paired_differences(labelled, baseline, groups, replicates, seed)
    )


def require_better_than_chance(name: str, estimate: AucEstimate) -> None:
    """Refuses scores that rank reals above fakes beyond doubt.

    Args:
        name: Of the variant that the labels and the index of the fake output are judged by.
        estimate: Its AUC.

    Raises:
        DataError: The quoted interval lies below 0.5. An AUC is never turned round.
    """
    interval = estimate.quoted
    if interval.high < 0.5:
        raise DataError(
            f"{name} has an AUC of {estimate.value:.4f} (95 % interval {interval.low:.4f} to {interval.high:.4f}): "
            "it calls reals fake; expected more than 0.5, so check the labels and the index of the fake output"
        )


def require_replicates(replicates: int, alpha: float) -> None:
    """Refuses a bootstrap whose quantile at `alpha` would lie beyond its replicates.

    Raises:
        DataError: The replicates are too few.
    """
    # One above the ratio in floating point is as good as the ratio.
    needed = int(np.ceil(1 / alpha - 1e-6)) - 1
    if replicates < needed:
        raise DataError(f"{replicates} bootstrap replicates; a bound at {alpha:.3g} needs at least {needed}")


def _delong_interval(auc: float, variance: float, pairs: int, confidence: float) -> Interval:
    """Returns an interval that is symmetric on the scale of the logit, so that it stays in [0, 1].

    Near 1 it covers better than one that is symmetric on the AUC's own scale (Pepe, The Statistical Evaluation of
    Medical Tests, 2003, section 5.2).
    """
    if variance == 0 or auc in (0, 1):
        return _unseen_interval(auc, pairs, confidence)
    half = NormalDist().inv_cdf((1 + confidence) / 2) * sqrt(variance) / (auc * (1 - auc))
    centre = log(auc / (1 - auc))
    return Interval(_expit(centre - half), _expit(centre + half))


def _bootstrap_interval(auc: float, sampled: NDArray[np.float64], pairs: int, confidence: float) -> Interval:
    # Sums of the same weights in another order differ by roundoff alone.
    if np.ptp(sampled) < 1e-12:
        return _unseen_interval(auc, pairs, confidence)
    rank = int((1 - confidence) / 2 * (sampled.size + 1))
    return Interval(float(sampled[rank - 1]), float(sampled[-rank]))


def _unseen_interval(auc: float, pairs: int, confidence: float) -> Interval:
    """Returns an interval where all pairs of a fake and a real came out alike, such as at an AUC of 1.

    Whatever the scores' distributions, an outcome of probability q is absent from all of k independent pairs with a
    probability of (1 - q)^k; Clopper and Pearson (Biometrika 1934) bound q by that.
    """
    unseen = 1 - ((1 - confidence) / 2) ** (1 / pairs)
    return Interval(auc * (1 - unseen), auc * (1 - unseen) + unseen)


def _expit(logit: float) -> float:
    return 1 / (1 + exp(-logit)) if logit > 0 else exp(logit) / (1 + exp(logit))
