"""Counts of decisions that are wrong or turned, by the videos that they are shares of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from evaluate.statistics.clustered_count import clustered_count

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evaluate.statistics.clustered_count import ClusteredCount


def missed_fakes(
    is_fake: NDArray[np.bool_], scores: NDArray[np.float64], threshold: float, clusters: NDArray[np.int64]
) -> ClusteredCount:
    """Counts the fakes called real, of the fakes among N videos; all arrays of shape (N,)."""
    scores = scores[is_fake]
    return clustered_count(scores < threshold, scores - threshold, clusters[is_fake])


def false_alarms(
    is_fake: NDArray[np.bool_], scores: NDArray[np.float64], threshold: float, clusters: NDArray[np.int64]
) -> ClusteredCount:
    """Counts the reals called fake, of the reals among N videos; all arrays of shape (N,)."""
    scores = scores[~is_fake]
    return clustered_count(scores >= threshold, threshold - scores, clusters[~is_fake])


def flips(
    before: NDArray[np.float64], scores: NDArray[np.float64], threshold: float, clusters: NDArray[np.int64]
) -> ClusteredCount:
    """Counts the videos that two models decide differently, of all N, by their scores; all arrays of shape (N,).

    The margin is how far the second model's score is on the first one's side of the threshold.
    """
    was_fake = before >= threshold
    margins = np.where(was_fake, scores - threshold, threshold - scores)
    return clustered_count(was_fake != (scores >= threshold), margins, clusters)
