"""McNemar's exact test for videos that fall into clusters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def mcnemar_p_value(repaired: NDArray[np.bool_], broken: NDArray[np.bool_], clusters: NDArray[np.int64]) -> float:
    """Returns how likely so uneven a split is if repairs and breaks are equally likely.

    Clusters are independent, and either model is as likely to be the better one on all videos of a cluster: the sum
    over clusters of breaks minus repairs, each with a random sign, is at least as far from 0. Where each video is a
    cluster of its own, that is McNemar's exact test (Psychometrika 1947). The distribution is exact, not sampled.

    Args:
        repaired: Wrong by the baseline, right by the variant, shape (N,).
        broken: Right by the baseline, wrong by the variant, shape (N,).
        clusters: Number of each video's cluster, shape (N,), from 0.
    """
    lead = np.bincount(clusters[broken], minlength=1 + int(clusters.max(initial=0)))
    lead = lead - np.bincount(clusters[repaired], minlength=lead.size)
    sizes = np.bincount(np.abs(lead))
    sizes[0] = 0
    chances = np.ones(1)
    for lead_of_each in np.flatnonzero(sizes):
        chances = _with_signs(chances, int(lead_of_each), int(sizes[lead_of_each]))
    # From minus all leads to plus all of them, in steps of 2.
    sums = np.abs(2 * np.arange(chances.size) - (chances.size - 1))
    return float(min(1.0, chances[sums >= abs(int(lead.sum()))].sum()))


def _with_signs(chances: NDArray[np.float64], lead: int, clusters: int) -> NDArray[np.float64]:
    """Adds so many clusters of one lead: they are on one side by a binomial distribution."""
    from scipy.signal import fftconvolve
    from scipy.stats import binom

    spread = np.zeros(lead * clusters + 1)
    spread[::lead] = binom.pmf(np.arange(clusters + 1), clusters, 0.5)
    return spread if chances.size == 1 else np.maximum(fftconvolve(chances, spread), 0.0)
