"""How many of the videos show an event, and how many independent videos would tell as much about its share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from evaluate.statistics.difference_bounds import student_quantile
from export.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class ClusteredCount:
    """Events among videos of which those of a cluster may be alike.

    Attributes:
        count: Videos that show the event.
        total: Videos.
        clusters: Clusters that they fall into; as many as videos where all are independent.
        design_effect: How many times the variance of the share is that of as many independent videos, at least 1.
        effect_of_margins: The same of an event that is too rare to show it, by how alike the margins of a cluster's
            videos are, at least 1.
    """

    count: int
    total: int
    clusters: int
    design_effect: float
    effect_of_margins: float

    @property
    def share(self) -> float:
        """Count over total; 0.0 of nothing."""
        return self.count / self.total if self.total else 0.0

    @property
    def is_independent(self) -> bool:
        """Tells whether each video is a cluster of its own."""
        return self.clusters == self.total

    @property
    def is_uninformative(self) -> bool:
        """Tells whether nothing is known of other videos: there is none, or all belong together."""
        return self.total == 0 or (self.clusters == 1 and not self.is_independent)

    def effective_total(self, confidence: float) -> float:
        """Returns the number of independent videos whose bounds hold for these (Korn and Graubard, 1998).

        It is the total over the design effect, and less where few clusters leave the variance uncertain: by the squared
        ratio of Student's quantiles for as many videos and for as many clusters (Survey Methodology 24). Where no
        video shows the event, or all do, it is that of `effective_total_of_none`.

        Args:
            confidence: One-sided, in (0.5, 1).

        Returns:
            The number, at most the total; the total itself where videos are independent.
        """
        if self.count in (0, self.total):
            return self.effective_total_of_none(confidence)
        return self._effective(self.design_effect, confidence)

    def effective_total_of_none(self, confidence: float) -> float:
        """Returns the same for an event that no video shows, or all do: by the margins."""
        return self._effective(self.effect_of_margins, confidence)

    def _effective(self, effect: float, confidence: float) -> float:
        if self.is_independent or self.is_uninformative:
            return float(min(self.total, self.clusters))
        ratio = student_quantile(confidence, self.total - 1) / student_quantile(confidence, self.clusters - 1)
        return self.total / effect * ratio**2


def clustered_count(
    events: NDArray[np.bool_], margins: NDArray[np.float64], clusters: NDArray[np.int64]
) -> ClusteredCount:
    """Counts events among videos (N,), with the design effect of their clusters.

    The variance is that of a ratio of sums over clusters drawn with replacement, by Taylor's series: C / (C - 1) times
    the sum of (events - share * videos)^2 over C clusters, over N^2 (Cochran, Sampling Techniques, 1977). That of
    independent videos is share * (1 - share) / (N - 1).

    Where no video shows the event, or few do, that variance tells nothing. An event is a margin beyond 0, however, and
    all videos have margins: the design effect is then 1 + (sum of squared sizes / N - 1) times the intraclass
    correlation of the margins (Kish, Survey Sampling, 1965). With normal margins it is too large rather than too small,
    because rare events of two videos coincide less than their margins do.

    Args:
        events: Whether each video shows it, shape (N,).
        margins: How far each is from showing it, in any unit, for only their ranks count, shape (N,).
        clusters: Number of each video's cluster, shape (N,), from 0; not every number needs to occur.

    Raises:
        DataError: There is not one cluster, or one margin, per video.
    """
    if not events.shape == margins.shape == clusters.shape:
        raise DataError(
            f"{clusters.size} clusters and {margins.size} margins for {events.size} videos; expected one of each"
        )
    _, clusters = np.unique(clusters, return_inverse=True)
    sizes, shown = np.bincount(clusters), np.bincount(clusters[events], minlength=1 + int(clusters.max(initial=-1)))
    effect = 1.0
    if 1 < sizes.size < events.size:
        effect += (float(np.square(sizes).sum()) / events.size - 1) * _correlation_of_ranks(margins, clusters, sizes)
    return ClusteredCount(int(shown.sum()), events.size, sizes.size, _design_effect(shown, sizes), effect)


def independent_count(count: int, total: int) -> ClusteredCount:
    """Returns a count among videos of which each is a cluster of its own."""
    return ClusteredCount(count, total, total, 1.0, 1.0)


def _design_effect(shown: NDArray[np.int64], sizes: NDArray[np.int64]) -> float:
    count, total, clusters = int(shown.sum()), int(sizes.sum()), sizes.size
    if clusters in (1, total) or count in (0, total):
        return 1.0
    share = count / total
    variance = clusters / (clusters - 1) * float(np.square(shown - share * sizes).sum()) / total**2
    return max(1.0, variance / (share * (1 - share) / (total - 1)))


def _correlation_of_ranks(margins: NDArray[np.float64], clusters: NDArray[np.int64], sizes: NDArray[np.int64]) -> float:
    """Returns the intraclass correlation, in [0, 1], of the normal scores of the margins' ranks.

    By the analysis of variance of clusters that differ in size (Donner, International Statistical Review 1986); 1 if
    all margins are the same, because nothing shows that videos differ.
    """
    from scipy.stats import norm, rankdata

    if np.ptp(margins) == 0:
        return 1.0
    scores = norm.ppf((rankdata(margins) - 0.5) / margins.size)
    means = np.bincount(clusters, scores) / sizes
    between = float((sizes * np.square(means - scores.mean())).sum()) / (sizes.size - 1)
    within = float(np.square(scores - means[clusters]).sum()) / (scores.size - sizes.size)
    usual = (scores.size - float(np.square(sizes).sum()) / scores.size) / (sizes.size - 1)
    return max(0.0, float((between - within) / (between + (usual - 1) * within)))
