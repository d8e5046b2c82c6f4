"""Intervals of the AUC and of its difference to the baseline's, by DeLong and by a bootstrap of clusters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from evaluate.statistics.interval import CONFIDENCE, Interval, wider

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
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
    """
    raise NotImplementedError


def auc_differences(
    is_fake: NDArray[np.bool_],
    scores: NDArray[np.float64],
    baseline: NDArray[np.float64],
    clusters: Sequence[str],
    confidence: float = CONFIDENCE,
    replicates: int = 2000,
    seed: int = 0,
) -> tuple[AucDifference, ...]:
    """Returns AUC minus the baseline's for each row of scores; arguments as for `auc_estimates`."""
    raise NotImplementedError
