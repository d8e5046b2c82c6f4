"""Which videos are not independent of each other."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from export.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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


def cluster_names(videos: Sequence[str], identities: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Names what each video is resampled with: the person it shows, or two persons who share no video with a third.

    In a face swap the person is the target, `id37` of `id37_id3_0004`. Two who are swapped with each other alone, as in
    FaceForensics++ where the fakes of 000 and 003 are `000_003` and `003_000`, are one cluster with their real videos,
    because each fake shows both. Where a person is swapped with several, as in Celeb-DF, such ties chain nearly all
    videos together, and what is left of a source counts for less than the target that the rest of the video shows. A
    video without a known identity is a cluster of its own. Scores play no part.

    Args:
        videos: Their names, such as `Celeb-synthesis/id37_id3_0004.mp4`, length N.
        identities: Persons in each, the target first, length N; see `calibration.samples.Sample`.
    """
    met: defaultdict[str, set[str]] = defaultdict(set)
    for people in identities:
        for person in people:
            met[person].update(people)
    return tuple(_cluster_name(video, people, met) for video, people in zip(videos, identities, strict=True))


def _cluster_name(video: str, people: Sequence[str], met: Mapping[str, set[str]]) -> str:
    if not people:
        return video
    target = people[0]
    circle = met[target]
    is_pair = len(circle) == 2 and all(met[person] == circle for person in circle)
    return min(circle) if is_pair else target


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
