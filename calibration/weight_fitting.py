"""Fits the weights of one layer to an input that is disturbed by what was done to the layers before it.

Everything is a matter of second moments of the layer's input, so it costs no gradient and no labels:

- *refit*: the layer is to give from its disturbed input what it gave from the undisturbed one. That is a ridge
  regression, solved in closed form; channels that carry more noise than signal lose weight to those that tell the same.
- *masked least squares*: the same where some weights must be zero.
- *compensation*: weights are settled column by column - rounded, or set to zero - and what each column adds to the
  output is taken up by the columns that are not settled yet (Frantar and Alistarh, "Optimal Brain Compression", arXiv
  2208.11580; Frantar et al., "GPTQ", arXiv 2210.17323; Frantar and Alistarh, "SparseGPT", arXiv 2301.00774).

Moments of a hundred images are known only roughly, so all are done with a ridge: a share of the mean variance of the
input is added to every variance.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Columns = NDArray[np.int64]
    # Values (groups, outputs) of a column, and its number within its block -> settled values.
    Settle = Callable[[Array, int], Array]
    # A block of columns (groups, columns, outputs), the scale (groups, columns) of their costs, and which column of the
    # weight each one is (groups, columns) -> what settles them.
    BeginBlock = Callable[[Array, Array, Columns], Settle]

# Between 0.05 and 0.3 the logit of a B5 hardly notices.
RIDGE = 0.1
# Variance of an input that is as good as constant; keeps the covariance of dead channels invertible.
_DEAD = 1e-12
# Columns that are settled before the errors of all of them are taken up by the rest, in one matrix product.
BLOCK = 64
# Steps of conjugate gradients, and the share of the first residual's size (squared) at which they end.
_MOST_STEPS = 50
_TOLERANCE = 1e-6
_TINY = 1e-300


@dataclass(frozen=True)
class Moments:
    """Second moments of a layer's input, by group; float64.

    Attributes:
        disturbed: Covariance (groups, K, K) of the input as INT8 has it.
        lost: Covariance (groups, K, K) of that input with what it lacks of the undisturbed one, in this order.
    """

    disturbed: torch.Tensor
    lost: torch.Tensor

    def damp(self, ridge: float) -> None:
        """Adds a share of the mean variance to each variance, in place: a wide layer's covariance is not copied."""
        variance = torch.diagonal(self.disturbed, dim1=1, dim2=2)
        variance += ridge * variance.mean(dim=1, keepdim=True) + _DEAD


class MomentSums:
    """Collects moments batch by batch.

    Args:
        origin: (groups, K), about the mean of the input; products are summed in float32, which a large mean spoils.
    """

    def __init__(self, origin: torch.Tensor) -> None:
        self._origin = origin.float().unsqueeze(1)
        self._count = 0
        self._rows = torch.zeros_like(origin, dtype=torch.float64)
        self._lacks = torch.zeros_like(self._rows)
        groups, columns = origin.shape
        self._squares = self._rows.new_zeros(groups, columns, columns)
        self._products = torch.zeros_like(self._squares)

    def update(self, disturbed: torch.Tensor, undisturbed: torch.Tensor) -> None:
        """Takes in rows (groups, positions, K) of both inputs, position by position the same."""
        lack = undisturbed - disturbed
        centred = disturbed - self._origin
        self._rows += centred.double().sum(1)
        self._lacks += lack.double().sum(1)
        self._squares += centred.transpose(1, 2) @ centred
        self._products += centred.transpose(1, 2) @ lack
        self._count += disturbed.shape[1]

    def moments(self) -> Moments:
        """Returns the moments of everything seen, in the memory of the sums; nothing may be added afterwards.

        Raises:
            ValueError: Nothing was seen.
        """
        if not self._count:
            raise ValueError("no rows were counted")
        mean, lack = self._rows / self._count, self._lacks / self._count
        for products, second in ((self._squares, mean), (self._products, lack)):
            products.div_(self._count).baddbmm_(mean.unsqueeze(2), second.unsqueeze(1), alpha=-1)
        return Moments(self._squares, self._products)


def refitted(weight: torch.Tensor, moments: Moments) -> torch.Tensor:
    """Returns the weight (groups, outputs, K) that gives from the disturbed input what it gave from the undisturbed.

    Args:
        weight: (groups, outputs, K), float64.
        moments: Damped moments.
    """
    wanted = moments.lost @ weight.transpose(1, 2)
    change = torch.cholesky_solve(wanted, torch.linalg.cholesky(moments.disturbed))
    return weight + change.transpose(1, 2)


def masked_least_squares(weight: torch.Tensor, kept: torch.Tensor, covariance: torch.Tensor) -> torch.Tensor:
    """Returns the weight with the wanted zeros whose output differs least from that of the weight given.

    Each output has equations of its own, because each keeps other columns. Conjugate gradients solve them together, in
    matrix products, preconditioned by the variances; every step lowers the error of every output.

    Args:
        weight: (groups, outputs, K), float64.
        kept: bool (groups, outputs, K), False where the weight is to be zero.
        covariance: (groups, K, K) of the input, positive definite.
    """
    variance = torch.diagonal(covariance, dim1=1, dim2=2).unsqueeze(1)
    found = weight * kept
    residual = ((weight - found) @ covariance) * kept
    direction = residual / variance
    size = (residual * direction).sum(dim=2, keepdim=True)
    small = _TOLERANCE * size
    for _ in range(_MOST_STEPS):
        if bool((size <= small).all()):
            break
        change = (direction @ covariance) * kept
        length = size / (direction * change).sum(dim=2, keepdim=True).clamp_min(_TINY)
        found += length * direction
        residual -= length * change
        scaled = residual / variance
        new_size = (residual * scaled).sum(dim=2, keepdim=True)
        direction = scaled + new_size / size.clamp_min(_TINY) * direction
        size = new_size
    return found


class Compensation:
    """Settles weights column by column and lets the columns to come take up the error.

    Wide columns come first, because their errors are the largest and the most columns are left to take them up.

    Args:
        covariance: (groups, K, K) of the input, positive definite.
        run: Columns that stay neighbours: every `run` of them, counted from the first, keep their order. Divides K.
    """

    def __init__(self, covariance: torch.Tensor, run: int = 1) -> None:
        variance = torch.diagonal(covariance, dim1=1, dim2=2).reshape(len(covariance), -1, run).sum(dim=2)
        runs = torch.argsort(variance, dim=1, descending=True).unsqueeze(2)
        self._order = (runs * run + torch.arange(run, device=covariance.device)).flatten(1)
        self._factor = _inverse_factor(covariance, self._order)

    @property
    def cost_scale(self) -> torch.Tensor:
        """(groups, K); a weight w that is lost costs (w / scale)^2 of squared output error, compensated."""
        diagonal = torch.diagonal(self._factor, dim1=1, dim2=2)
        return torch.empty_like(diagonal).scatter_(1, self._order, diagonal)

    def settled(self, weight: torch.Tensor, begin: BeginBlock) -> torch.Tensor:
        """Returns the settled weight (groups, outputs, K).

        Args:
            weight: (groups, outputs, K), float64.
            begin: Gets a block of columns, with all earlier errors taken up, and returns what settles each of them.
        """
        along_outputs = self._order.unsqueeze(1).expand_as(weight)
        left = torch.gather(weight, 2, along_outputs).transpose(1, 2).contiguous()
        columns = self._order.cpu().numpy()
        result = torch.empty_like(left)
        for first in range(0, left.shape[1], BLOCK):
            end = min(first + BLOCK, left.shape[1])
            square = self._factor[:, first:end, first:end].cpu().numpy()
            block = _settled_block(left[:, first:end].cpu().numpy(), square, columns[:, first:end], begin)
            settled, errors = (torch.from_numpy(part).to(left) for part in block)
            result[:, first:end] = settled
            left[:, end:] -= self._factor[:, first:end, end:].transpose(1, 2) @ errors
        return torch.empty_like(weight).scatter_(2, along_outputs, result.transpose(1, 2).contiguous())


def _inverse_factor(covariance: torch.Tensor, order: torch.Tensor) -> torch.Tensor:
    """Returns the upper triangular U with U^T U the inverse of a covariance (groups, K, K) in an order (groups, K).

    The Cholesky factor of the matrix in the opposite order, turned round and inverted: half the work, and far less
    memory, of inverting and factoring.
    """
    group = torch.arange(len(covariance), device=covariance.device)[:, None, None]
    opposite = order.flip(1)
    factor = torch.linalg.cholesky(covariance[group, opposite.unsqueeze(2), opposite.unsqueeze(1)])
    factor = factor.flip(1, 2)
    identity = torch.eye(covariance.shape[1], dtype=covariance.dtype, device=covariance.device)
    inverse: torch.Tensor = torch.linalg.solve_triangular(factor, identity.expand_as(covariance), upper=True)
    return inverse


def _settled_block(left: Array, factor: Array, columns: Columns, begin: BeginBlock) -> tuple[Array, Array]:
    """Settles the columns of a block one after the other.

    In NumPy, because there are thousands of columns, each so little work that PyTorch would mostly wait for itself.

    Args:
        left: (groups, columns, outputs); changed in place.
        factor: (groups, columns, columns).
        columns: (groups, columns), which column of the weight each one is.
        begin: As in `Compensation.settled`.

    Returns:
        The settled block, and its errors in the units in which later blocks take them up.
    """
    settle = begin(left, np.diagonal(factor, axis1=1, axis2=2), columns)
    result, errors = np.empty_like(left), np.empty_like(left)
    for column in range(left.shape[1]):
        result[:, column] = settle(left[:, column], column)
        error = (left[:, column] - result[:, column]) / factor[:, column, column, None]
        left[:, column + 1 :] -= factor[:, column, column + 1 :, None] * error[:, None]
        errors[:, column] = error
    return result, errors
