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
    """

    count: int
    total: int
    clusters: int
    design_effect: float

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
        ratio of Student's quantiles for as many videos and for as many clusters (Survey Methodology 24).

        Args:
            confidence: One-sided, in (0.5, 1).

        Returns:
            The number, at most the total; the total itself where videos are independent.
        """
        if self.is_independent or self.is_uninformative:
            return float(min(self.total, self.clusters))
        if self.count in (0, self.total):
            return float(self.clusters)
        ratio = student_quantile(confidence, self.total - 1) / student_quantile(confidence, self.clusters - 1)
        return self.total / self.design_effect * ratio**2


def clustered_count(events: NDArray[np.bool_], clusters: NDArray[np.int64]) -> ClusteredCount:
    """Counts events among videos (N,), with the design effect of their clusters.

    The variance is that of a ratio of sums over clusters drawn with replacement, by Taylor's series: C / (C - 1) times
    the sum of (events - share * videos)^2 over C clusters, over N^2 (Cochran, Sampling Techniques, 1977). That of
    independent videos is share * (1 - share) / (N - 1).

    Where no video shows the event, or all do, that variance is 0 and tells nothing. Then the videos of a cluster are
    taken to be all alike, so that each cluster counts once: any other choice would be wrong too often for events that
    come by the cluster.

    Args:
        events: Whether each video shows it, shape (N,).
        clusters: Number of each video's cluster, shape (N,), from 0; not every number needs to occur.

    Raises:
        DataError: There is not one cluster per video.
    """
    if events.shape != clusters.shape:
        raise DataError(f"{clusters.size} clusters for {events.size} videos; expected the cluster of each video")
    sizes = np.bincount(clusters)
    shown = np.bincount(clusters[events], minlength=sizes.size)[sizes > 0]
    sizes = sizes[sizes > 0]
    return ClusteredCount(int(shown.sum()), events.size, sizes.size, _design_effect(shown, sizes))


def independent_count(count: int, total: int) -> ClusteredCount:
    """Returns a count among videos of which each is a cluster of its own."""
    return ClusteredCount(count, total, total, 1.0)


def _design_effect(shown: NDArray[np.int64], sizes: NDArray[np.int64]) -> float:
    count, total, clusters = int(shown.sum()), int(sizes.sum()), sizes.size
    if clusters == total:
        return 1.0
    if clusters == 1 or count in (0, total):
        return total / clusters
    share = count / total
    variance = clusters / (clusters - 1) * float(np.square(shown - share * sizes).sum()) / total**2
    return max(1.0, variance / (share * (1 - share) / (total - 1)))
