"""Variance of AUCs by DeLong, DeLong and Clarke-Pearson, Biometrics 1988, computed from midranks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evaluate.statistics.labelled_scores import LabelledScores

# Of a number in [0, 1], whatever its distribution.
_LARGEST_VARIANCE = 0.25


@dataclass(frozen=True, eq=False)
class Placements:
    """Of each video the share of the other class that it is on the right side of; a tie counts one half.

    Attributes:
        fakes: Share of the reals that score below each fake, shape (K, fakes).
        reals: Share of the fakes that score above each real, shape (K, reals).
    """

    fakes: NDArray[np.float64]
    reals: NDArray[np.float64]

    @property
    def aucs(self) -> NDArray[np.float64]:
        """AUC of each of the K curves."""
        return np.asarray(self.fakes.mean(axis=1))

    @property
    def covariance(self) -> NDArray[np.float64]:
        """Covariance of the K AUCs, shape (K, K).

        A class of a single video tells nothing about its spread; the largest possible variance then stands for it.
        """
        return _covariance_of_mean(self.fakes) + _covariance_of_mean(self.reals)

    def minus(self, baseline: Placements) -> Placements:
        """Returns what each video gained against a baseline's placements, shape (1, ...)."""
        return Placements(self.fakes - baseline.fakes, self.reals - baseline.reals)


def placements(labelled: LabelledScores) -> Placements:
    """Returns the placements of all curves in O(K N log N) time and O(K N) memory.

    A fake's midrank among all videos minus that among the fakes is the number of reals below it (Sun and Xu, IEEE
    Signal Processing Letters 2014).
    """
    is_fake, fakes, reals = labelled.is_fake, labelled.fakes, labelled.reals
    count = len(labelled.scores)
    of_fakes, of_reals = np.empty((count, fakes)), np.empty((count, reals))
    for row, scores in enumerate(labelled.scores):
        ranks = midranks(scores)
        of_fakes[row] = (ranks[is_fake] - midranks(scores[is_fake])) / reals
        of_reals[row] = 1 - (ranks[~is_fake] - midranks(scores[~is_fake])) / fakes
    return Placements(of_fakes, of_reals)


def midranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns ranks from 1 on of values (N,); equal values share the mean of theirs."""
    order = np.argsort(values)
    ordered = values[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    counts = np.diff(np.r_[starts, values.size])
    ranks = np.empty(values.size)
    ranks[order] = np.repeat(starts + (counts + 1) / 2, counts)
    return ranks


def _covariance_of_mean(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    videos = rows.shape[1]
    if videos == 1:
        return _LARGEST_VARIANCE * np.eye(len(rows))
    # Shifted by one of themselves, rows of equal values have a variance of exactly zero.
    centred = rows - rows[:, :1]
    centred -= centred.mean(axis=1, keepdims=True)
    return np.asarray(centred @ centred.T / (videos * (videos - 1)))
