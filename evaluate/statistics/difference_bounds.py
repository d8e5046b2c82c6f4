"""One-sided confidence bounds of an AUC difference, and the tests that they belong to."""

from __future__ import annotations

from dataclasses import dataclass
from math import erfc, sqrt
from statistics import NormalDist
from typing import TYPE_CHECKING, Protocol

import numpy as np

from evaluate.statistics.bootstrap import bootstrap_aucs
from evaluate.statistics.delong import midranks, placements
from evaluate.statistics.interval import Interval
from evaluate.statistics.labelled_scores import LabelledScores, labelled_scores

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from evaluate.statistics.clusters import Clusters


class DifferenceBounds(Protocol):
    """What a method knows of a difference in [-1, 1]."""

    def lower(self, alpha: float) -> float:
        """Returns the bound that lies above the true difference with a probability of at most `alpha`."""

    def p_value(self, value: float) -> float:
        """Returns the smallest `alpha` whose lower bound is above `value`."""

    def mirrored(self) -> DifferenceBounds:
        """Returns the bounds of minus the difference, whose lower ones are minus the upper ones of this."""


@dataclass(frozen=True)
class NormalBounds:
    """A normal distribution around the measured difference."""

    difference: float
    standard_error: float

    def lower(self, alpha: float) -> float:
        """See `DifferenceBounds`."""
        return max(-1.0, self.difference + NormalDist().inv_cdf(alpha) * self.standard_error)

    def p_value(self, value: float) -> float:
        """See `DifferenceBounds`."""
        return erfc((self.difference - value) / self.standard_error / sqrt(2)) / 2

    def mirrored(self) -> NormalBounds:
        """See `DifferenceBounds`."""
        return NormalBounds(-self.difference, self.standard_error)


@dataclass(frozen=True, eq=False)
class ReplicateBounds:
    """Quantiles of a bootstrap's replicates (R,), in increasing order."""

    replicates: NDArray[np.float64]

    def lower(self, alpha: float) -> float:
        """See `DifferenceBounds`."""
        rank = int(alpha * (self.replicates.size + 1))
        return float(self.replicates[rank - 1]) if rank else -1.0

    def p_value(self, value: float) -> float:
        """See `DifferenceBounds`."""
        return (1 + int(np.searchsorted(self.replicates, value, "right"))) / (self.replicates.size + 1)

    def mirrored(self) -> ReplicateBounds:
        """See `DifferenceBounds`."""
        return ReplicateBounds(-self.replicates[::-1])


@dataclass(frozen=True)
class UnseenBounds:
    """What is left to know where no pair of a fake and a real differs from any other in what it lost.

    An event that none of k independent pairs shows has a probability of at most 1 - alpha^(1/k), which for 5 % is the
    rule of three. How much it would cost is taken from what did move: the most ranks that a video has moved among
    its own class, as a share of the other. Scores in the same order leave nothing to know.

    Attributes:
        difference: What every pair lost or gained.
        reach: Most ranks that a video moved, over the size of the smaller class, at most 1.
        pairs: Independent pairs of a fake and a real.
    """

    difference: float
    reach: float
    pairs: int

    def lower(self, alpha: float) -> float:
        """See `DifferenceBounds`."""
        return max(-1.0, self.difference - self.reach * float(1 - alpha ** (1 / self.pairs)))

    def p_value(self, value: float) -> float:
        """See `DifferenceBounds`."""
        if value >= self.difference:
            return 1.0
        return float(max(0.0, 1 - (self.difference - value) / self.reach) ** self.pairs) if self.reach else 0.0

    def mirrored(self) -> UnseenBounds:
        """See `DifferenceBounds`."""
        return UnseenBounds(-self.difference, self.reach, self.pairs)


@dataclass(frozen=True)
class UnknownBounds:
    """Nothing is known: all videos of a class belong together, so that their spread cannot be seen."""

    def lower(self, alpha: float) -> float:
        """See `DifferenceBounds`."""
        return -1.0

    def p_value(self, value: float) -> float:
        """See `DifferenceBounds`."""
        return 1.0

    def mirrored(self) -> UnknownBounds:
        """See `DifferenceBounds`."""
        return self


@dataclass(frozen=True)
class PairedDifference:
    """An AUC minus the baseline's, by two methods.

    Attributes:
        value: The difference.
        standard_error: By DeLong.
        correlation: Of the two AUCs, by DeLong; None where one of them has no variance.
        delong: Bounds by DeLong, for independent videos.
        bootstrap: Bounds by the bootstrap of clusters.
    """

    value: float
    standard_error: float
    correlation: float | None
    delong: DifferenceBounds
    bootstrap: DifferenceBounds


def paired_differences(
    labelled: LabelledScores, baseline: NDArray[np.float64], clusters: Clusters, replicates: int, seed: int
) -> tuple[PairedDifference, ...]:
    """Compares each of K variants' scores with a baseline's (N,) on the same videos and the same replicates."""
    reference = labelled_scores(labelled.is_fake, baseline[None])
    both = LabelledScores(labelled.is_fake, np.concatenate([reference.scores, labelled.scores]))
    aucs = bootstrap_aucs(both, clusters, replicates, seed)
    sampled: Sequence[NDArray[np.float64] | None]
    sampled = [None] * len(labelled.scores) if aucs is None else [np.sort(row - aucs[0]) for row in aucs[1:]]
    return tuple(
        _paired(LabelledScores(labelled.is_fake, scores[None]), reference, clusters, differences)
        for scores, differences in zip(labelled.scores, sampled, strict=True)
    )


def interval_of(bounds: DifferenceBounds, confidence: float) -> Interval:
    """Returns the two-sided interval with as much left out below as above."""
    alpha = (1 - confidence) / 2
    return Interval(bounds.lower(alpha), -bounds.mirrored().lower(alpha))


def _paired(
    variant: LabelledScores, reference: LabelledScores, clusters: Clusters, differences: NDArray[np.float64] | None
) -> PairedDifference:
    of_variant, of_reference = placements(variant), placements(reference)
    gained = of_variant.minus(of_reference)
    value, variance = float(gained.aucs[0]), float(gained.covariance[0, 0])
    variances = float(of_variant.covariance[0, 0]), float(of_reference.covariance[0, 0])
    moved = np.abs(midranks(variant.scores[0]) - midranks(reference.scores[0])).max()
    smaller = min(variant.fakes, variant.reals)
    reach = min(1.0, float(moved) / smaller)
    delong: DifferenceBounds = NormalBounds(value, variance**0.5)
    if reach == 0 or variance == 0:
        delong, variance = UnseenBounds(value, reach, smaller), 0.0
    return PairedDifference(
        value,
        variance**0.5,
        None
        if 0 in variances
        else float(np.clip((sum(variances) - variance) / 2 / sqrt(variances[0] * variances[1]), -1, 1)),
        delong,
        _bootstrap_bounds(value, reach, clusters, differences),
    )


def _bootstrap_bounds(
    value: float, reach: float, clusters: Clusters, differences: NDArray[np.float64] | None
) -> DifferenceBounds:
    # Sums of the same weights in another order differ by roundoff alone.
    unmoved = differences is not None and np.ptp(differences) < 1e-12
    if reach == 0 or unmoved:
        return UnseenBounds(value, reach, clusters.independent_pairs)
    return UnknownBounds() if differences is None else ReplicateBounds(differences)
