"""Which videos are not independent of each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from export.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Clusters:
    """Videos by the cluster that they are resampled with.

    Attributes:
        of_video: Index of each video's cluster, shape (N,).
        with_fakes: Whether a cluster holds fakes, shape (C,).
        with_reals: Whether it holds reals, shape (C,).
    """

    of_video: NDArray[np.int64]
    with_fakes: NDArray[np.bool_]
    with_reals: NDArray[np.bool_]

    @property
    def count(self) -> int:
        """Number of clusters."""
        return self.with_fakes.size

    @property
    def smaller_class(self) -> int:
        """Number of clusters that hold the class which fewer of them hold."""
        return int(min(self.with_fakes.sum(), self.with_reals.sum()))

    @property
    def independent_pairs(self) -> int:
        """Most pairs of a fake and a real that can be formed with no cluster used twice, at least 1."""
        return max(1, min(self.smaller_class, self.count // 2))

    def strata(self) -> tuple[NDArray[np.int64], ...]:
        """Returns the clusters that may stand for one another, as indices.

        Those are clusters with fakes alone, with reals alone and with both, so that a sample of each stratum has both
        classes in about the measured ratio. A stratum of one cluster would never vary; then all clusters form one.
        """
        kind = self.with_fakes + 2 * self.with_reals
        strata = tuple(np.flatnonzero(kind == value) for value in np.unique(kind))
        if min(stratum.size for stratum in strata) == 1:
            return (np.arange(self.count),)
        return strata


def cluster_of(video: str, identities: Sequence[str]) -> str:
    """Names what a video is resampled with: the person it shows.

    In a face swap that is the target, `id37` of `id37_id3_0004`; a video without a known identity is a cluster of its
    own.

    Args:
        video: Name of the video, such as `Celeb-synthesis/id37_id3_0004.mp4`.
        identities: Persons in it, the target first; see `calibration.samples.Sample`.
    """
    return identities[0] if identities else video


def cluster_numbers(names: Sequence[str]) -> NDArray[np.int64]:
    """Returns the number of each video's cluster, from 0 in the order of the clusters' names, shape (N,)."""
    return np.unique(np.asarray(names, dtype=np.str_), return_inverse=True)[1].astype(np.int64)


def clusters_of(is_fake: NDArray[np.bool_], names: Sequence[str]) -> Clusters:
    """Groups videos with labels (N,) by the names of their clusters, length N; the videos' order plays no part.

    Raises:
        DataError: There are fewer or more names than videos.
    """
    if len(names) != is_fake.size:
        raise DataError(f"{len(names)} clusters for {is_fake.size} videos; expected the cluster of each video")
    of_video = cluster_numbers(names)
    count = 1 + int(of_video.max(initial=-1))
    fakes = np.bincount(of_video[is_fake], minlength=count)
    reals = np.bincount(of_video[~is_fake], minlength=count)
    return Clusters(of_video, fakes > 0, reals > 0)
