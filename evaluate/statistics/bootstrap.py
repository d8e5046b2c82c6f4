"""AUCs of resampled clusters of videos, all variants on the same replicates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from export.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from evaluate.statistics.clusters import Clusters
    from evaluate.statistics.labelled_scores import LabelledScores

SMALLEST_REPLICATES = 100
# Numbers in a block's largest array: 8 MiB of them.
_BLOCK = 1 << 20


@dataclass(frozen=True, eq=False)
class _Order:
    """One variant's scores, sorted once: of each fake, how many reals score below it and how many at most as much."""

    reals: NDArray[np.int64]
    below: NDArray[np.int64]
    up_to: NDArray[np.int64]


def bootstrap_aucs(
    labelled: LabelledScores, clusters: Clusters, replicates: int, seed: int
) -> NDArray[np.float64] | None:
    """Returns AUCs of replicates, shape (K, replicates); None where a class lies in one cluster alone.

    A replicate draws clusters with replacement within each stratum, and all videos of a cluster come along. Of n
    clusters in a stratum it draws n - 1 and weights each n / (n - 1): a draw of n makes the variance too small by that
    factor, which few persons make felt (Rao and Wu, Journal of the American Statistical Association 1988).

    Args:
        labelled: Scores of K variants.
        clusters: Of the same videos.
        replicates: How many.
        seed: Equal seeds give equal replicates, whatever the scores.

    Raises:
        DataError: There are fewer replicates than a standard error needs.
    """
    if replicates < SMALLEST_REPLICATES:
        raise DataError(f"{replicates} bootstrap replicates; expected at least {SMALLEST_REPLICATES}")
    if clusters.smaller_class < 2:
        return None
    is_fake = labelled.is_fake
    of_fakes, of_reals = clusters.of_video[is_fake], clusters.of_video[~is_fake]
    orders = [_order(scores[is_fake], scores[~is_fake]) for scores in labelled.scores]
    aucs = np.empty((len(orders), replicates))
    done = 0
    for weights in _weights(clusters, replicates, max(1, _BLOCK // is_fake.size), np.random.default_rng(seed)):
        block = slice(done, done + weights.shape[1])
        fakes, reals = weights[of_fakes], weights[of_reals]
        pairs = fakes.sum(axis=0) * reals.sum(axis=0)
        for row, order in enumerate(orders):
            aucs[row, block] = _pairs_won(order, fakes, reals) / pairs
        done = block.stop
    return aucs


def _order(fakes: NDArray[np.float64], reals: NDArray[np.float64]) -> _Order:
    order = np.argsort(reals)
    ordered = reals[order]
    return _Order(order, np.searchsorted(ordered, fakes, "left"), np.searchsorted(ordered, fakes, "right"))


def _pairs_won(order: _Order, fakes: NDArray[np.float64], reals: NDArray[np.float64]) -> NDArray[np.float64]:
    lighter = np.zeros((len(reals) + 1, reals.shape[1]))
    np.cumsum(reals[order.reals], axis=0, out=lighter[1:])
    won = np.einsum("vr,vr->r", fakes, lighter[order.below])
    return np.asarray((won + np.einsum("vr,vr->r", fakes, lighter[order.up_to])) / 2)


def _weights(
    clusters: Clusters, replicates: int, block: int, rng: np.random.Generator
) -> Iterator[NDArray[np.float64]]:
    """Yields weights of the clusters, shape (C, up to `block`); every replicate weighs both classes."""
    strata, left = clusters.strata(), replicates
    while left:
        weights = np.empty((clusters.count, min(block, left)))
        for stratum in strata:
            drawn = stratum.size - 1
            counts = rng.multinomial(drawn, np.full(stratum.size, 1 / stratum.size), size=weights.shape[1])
            weights[stratum] = counts.T * (stratum.size / drawn)
        # Only a stratum of all clusters can lack a class.
        complete = weights[clusters.with_fakes].any(axis=0) & weights[clusters.with_reals].any(axis=0)
        left -= int(complete.sum())
        yield weights[:, complete]
