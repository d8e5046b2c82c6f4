"""Which weights of a layer become zero: those whose loss costs the output least once the others made up for it.

The cost of a weight is (w / u)^2, where u is its entry on the diagonal of the inverse covariance's Cholesky factor:
what its loss adds to the squared error of the output after the columns to come have taken up what they can (Frantar and
Alistarh, "SparseGPT", arXiv 2301.00774). Unlike there, blocks of columns do not all lose the same share.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from calibration.weight_fitting import BLOCK, Compensation

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from calibration.weight_fitting import Array, Columns, Settle
    from pruning.reconstruction import Choice

# Weights that TensorRT's sparse kernels look at together, along the input channels, and how many of them may stay.
RUN_OF_FOUR = 4
KEPT_OF_FOUR = 2
# Of a layer that loses single weights no more than this share, whatever is asked for.
LARGEST_SHARE = 0.95


class CheapestZeros:
    """Sets a share of a layer's weights to zero.

    Args:
        weight: (groups, outputs, K), float64.
        covariance: (groups, K, K) of the layer's input, positive definite.
    """

    def __init__(self, weight: torch.Tensor, covariance: torch.Tensor) -> None:
        self._weight = weight
        self._compensation = Compensation(covariance)
        scale = self._compensation.cost_scale
        self._costs = (weight / scale.unsqueeze(1)).square().transpose(1, 2).cpu().numpy()

    def zeroed(self, share: float) -> torch.Tensor:
        """Returns the weight (groups, outputs, K) with this share of it zero and the others compensating.

        A block of columns loses as many weights as it has among the cheapest of the whole layer; which ones, is decided
        when the errors of earlier blocks have been taken up.
        """
        count = round(share * self._costs.size)
        if not count:
            return self._weight.clone()
        limit = np.partition(self._costs, count - 1, axis=None)[count - 1]
        cheap = (self._costs <= limit).sum(axis=2)

        def begin(block: Array, scale: Array, columns: Columns) -> Settle:
            lost = int(np.take_along_axis(cheap, columns, axis=1).sum())
            kept = _without_cheapest((block / scale[:, :, None]) ** 2, lost)
            return lambda values, column: values * kept[:, column]

        return self._compensation.settled(self._weight, begin)


def two_of_four(weight: torch.Tensor, covariance: torch.Tensor) -> torch.Tensor:
    """Returns the weight with at least two zeros in every four neighbouring columns, the others compensating.

    Args:
        weight: (1, outputs, K), float64; K is a multiple of four.
        covariance: (1, K, K) of the layer's input, positive definite.
    """

    def begin(block: Array, scale: Array, _: Columns) -> Settle:
        costs = (block / scale[:, :, None]) ** 2
        runs = costs.reshape(len(block), -1, RUN_OF_FOUR, block.shape[2])
        rank = np.argsort(np.argsort(runs, axis=2), axis=2).reshape(costs.shape)
        kept = rank >= RUN_OF_FOUR - KEPT_OF_FOUR
        return lambda values, column: values * kept[:, column]

    assert BLOCK % RUN_OF_FOUR == 0, "a run of four must not be cut by a block"
    return Compensation(covariance, RUN_OF_FOUR).settled(weight, begin)


def cheapest(share: float) -> Choice:
    """Chooses the weights that cost the output least, up to a share of the layer."""
    return lambda weight, covariance: CheapestZeros(weight, covariance).zeroed(share) != 0


def pattern_two_of_four(weight: torch.Tensor, covariance: torch.Tensor) -> torch.Tensor:
    """Chooses the two weights of every four neighbouring ones that cost the output least."""
    return two_of_four(weight, covariance) != 0


def fixed(kept: torch.Tensor) -> Choice:
    """Chooses the zeros of a mask: bool (groups, outputs, K), or one that broadcasts to it, False where zero."""
    return lambda weight, _: kept.to(weight.device).expand_as(weight)


def _without_cheapest(costs: Array, count: int) -> NDArray[np.bool_]:
    kept = np.ones(costs.size, dtype=bool)
    kept[np.argpartition(costs, min(count, costs.size - 1), axis=None)[:count]] = False
    return kept.reshape(costs.shape)
