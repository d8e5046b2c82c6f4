"""An AUC against the baseline's on the same videos: what DeLong and the bootstrap of clusters know of it."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING

import numpy as np

from evaluate.statistics.bootstrap import bootstrap_aucs
from evaluate.statistics.delong import midranks, placements
from evaluate.statistics.difference_bounds import StudentBounds, UnknownBounds, UnseenBounds
from evaluate.statistics.labelled_scores import LabelledScores, labelled_scores

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from evaluate.statistics.clusters import Clusters
    from evaluate.statistics.difference_bounds import DifferenceBounds


@dataclass(frozen=True)
class PairedAuc:
    """An AUC minus the baseline's, by two methods.

    Attributes:
        difference: The difference.
        standard_error: By DeLong.
        correlation: Of the two AUCs, by DeLong; None where one of them has no variance.
        delong: Bounds by DeLong, for independent videos.
        bootstrap: Bounds by the bootstrap, for independent clusters of videos: its standard error, and of Student's
            degrees of freedom one less than there are clusters with the class that fewer hold.
    """

    difference: float
    standard_error: float
    correlation: float | None
    delong: DifferenceBounds
    bootstrap: DifferenceBounds


def paired_aucs(
    labelled: LabelledScores, baseline: ArrayLike, clusters: Clusters, replicates: int, seed: int
) -> tuple[PairedAuc, ...]:
    """Compares the scores of K variants with a baseline's (N,), all on the same replicates.

    Raises:
        DataError: The baseline's scores are as many as no variant's or not finite, or the replicates too few.
    """
    reference = labelled_scores(labelled.is_fake, np.asarray(baseline)[np.newaxis])
    both = LabelledScores(labelled.is_fake, np.concatenate([reference.scores, labelled.scores]))
    sampled = bootstrap_aucs(both, clusters, replicates, seed)
    paired = []
    for row, scores in enumerate(labelled.scores, start=1):
        variant = LabelledScores(labelled.is_fake, scores[np.newaxis])
        differences = None if sampled is None else sampled[row] - sampled[0]
        paired.append(_paired(variant, reference, clusters, differences))
    return tuple(paired)


def _paired(
    variant: LabelledScores, reference: LabelledScores, clusters: Clusters, sampled: NDArray[np.float64] | None
) -> PairedAuc:
    of_variant, of_reference = placements(variant), placements(reference)
    gained = of_variant.minus(of_reference)
    difference, variance = float(gained.aucs[0]), float(gained.covariance[0, 0])
    moved = float(np.abs(midranks(variant.scores[0]) - midranks(reference.scores[0])).max())
    smaller = min(variant.fakes, variant.reals)
    reach = min(1.0, moved / smaller)
    if reach == 0:
        variance = 0.0
    error = sqrt(variance)
    delong = StudentBounds(difference, error) if error else UnseenBounds(difference, reach, smaller)
    variances = float(of_variant.covariance[0, 0]), float(of_reference.covariance[0, 0])
    correlation = None
    if all(variances):
        correlation = float(np.clip((sum(variances) - variance) / 2 / sqrt(variances[0] * variances[1]), -1, 1))
    return PairedAuc(difference, error, correlation, delong, _sampled_bounds(difference, reach, clusters, sampled))


def _sampled_bounds(
    difference: float, reach: float, clusters: Clusters, sampled: NDArray[np.float64] | None
) -> DifferenceBounds:
    if reach == 0:
        return UnseenBounds(difference, reach, clusters.independent_pairs)
    if sampled is None:
        return UnknownBounds()
    error = float(np.std(sampled, ddof=1))
    # Sums of equal numbers in another order differ by roundoff alone.
    if error < 1e-12:
        return UnseenBounds(difference, reach, clusters.independent_pairs)
    return StudentBounds(difference, error, clusters.smaller_class - 1)
