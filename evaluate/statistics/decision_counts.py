"""Counts of decisions that are wrong or turned, by the videos that they are shares of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluate.statistics.clustered_count import clustered_count

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from evaluate.statistics.clustered_count import ClusteredCount


def missed_fakes(
    is_fake: NDArray[np.bool_], called_fake: NDArray[np.bool_], clusters: NDArray[np.int64]
) -> ClusteredCount:
    """Counts the fakes called real, of the fakes among N videos; all arguments of shape (N,)."""
    return clustered_count(~called_fake[is_fake], clusters[is_fake])


def false_alarms(
    is_fake: NDArray[np.bool_], called_fake: NDArray[np.bool_], clusters: NDArray[np.int64]
) -> ClusteredCount:
    """Counts the reals called fake, of the reals among N videos; all arguments of shape (N,)."""
    return clustered_count(called_fake[~is_fake], clusters[~is_fake])


def flips(
    called_before: NDArray[np.bool_], called_fake: NDArray[np.bool_], clusters: NDArray[np.int64]
) -> ClusteredCount:
    """Counts the videos that two models decide differently, of all N; all arguments of shape (N,)."""
    return clustered_count(called_before != called_fake, clusters)
