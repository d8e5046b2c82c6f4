"""Fits the weights of one layer to the input it gets in INT8, and rounds them so that their errors cancel.

Everything is a matter of second moments of the layer's input, so it costs no gradient and no labels:

- *refit*: the layer is to give from its disturbed input what it gave from the undisturbed one. That is a ridge
  regression, solved in closed form; channels that carry more noise than signal lose weight to those that tell the same.
- *rounding*: weights are rounded column by column, and what each rounding adds to the output is taken up by the columns
  that are not rounded yet (Frantar and Alistarh, "Optimal Brain Compression", arXiv 2208.11580; Frantar et al., "GPTQ",
  arXiv 2210.17323).

Moments of a hundred images are known only roughly, so both are done with a ridge: a share of the mean variance of the
input is added to every variance.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from calibration.int8_from_table import scale_from_amax
from calibration.ranges import LEVELS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

# Between 0.05 and 0.3 the logit of a B5 hardly notices; see docs/int8.md.
RIDGE = 0.1
# Variance of an input that is as good as constant; keeps the covariance of dead channels invertible.
_DEAD = 1e-12
_BLOCK = 64


@dataclass(frozen=True)
class Moments:
    """Second moments of a layer's input, by group; float64.

    Attributes:
        disturbed: Covariance (groups, K, K) of the input as INT8 has it.
        lost: Covariance (groups, K, K) of that input with what it lacks of the undisturbed one, in this order.
    """

    disturbed: torch.Tensor
    lost: torch.Tensor


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
        """Returns the moments of everything seen.

        Raises:
            ValueError: Nothing was seen.
        """
        if not self._count:
            raise ValueError("no rows were counted")
        mean, lack = self._rows / self._count, self._lacks / self._count
        return Moments(
            self._squares / self._count - mean.unsqueeze(2) * mean.unsqueeze(1),
            self._products / self._count - mean.unsqueeze(2) * lack.unsqueeze(1),
        )


def refitted(weight: torch.Tensor, moments: Moments, ridge: float) -> torch.Tensor:
    """Returns the weight (groups, outputs, K) that gives from the disturbed input what it gave from the undisturbed."""
    wanted = moments.lost @ weight.transpose(1, 2)
    change = torch.cholesky_solve(wanted, torch.linalg.cholesky(damped(moments.disturbed, ridge)))
    return weight + change.transpose(1, 2)


def damped(covariance: torch.Tensor, ridge: float) -> torch.Tensor:
    """Returns a covariance (groups, K, K) with a share of its mean variance added to each variance."""
    variance = torch.diagonal(covariance, dim1=1, dim2=2)
    added = ridge * variance.mean(dim=1, keepdim=True) + _DEAD
    return covariance + torch.diag_embed(added.expand_as(variance))


def scales_of(weight: torch.Tensor) -> torch.Tensor:
    """Returns the scale (groups, outputs) of each output channel: its largest magnitude is 127."""
    amax = weight.abs().amax(dim=2).float().cpu().numpy()
    return torch.from_numpy(scale_from_amax(amax)).to(weight)


def rounded(weight: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Returns each weight rounded to the nearest of -127..127 steps."""
    return torch.clamp(torch.round(weight / scale.unsqueeze(2)), -LEVELS, LEVELS)


def rounded_with_compensation(weight: torch.Tensor, scale: torch.Tensor, covariance: torch.Tensor) -> torch.Tensor:
    """Rounds weights column by column, the widest first, and lets the columns to come take up the error.

    Args:
        weight: (groups, outputs, K), float64.
        scale: (groups, outputs).
        covariance: (groups, K, K) of the input, positive definite.

    Returns:
        Steps in -127..127, (groups, outputs, K).
    """
    order = torch.argsort(torch.diagonal(covariance, dim1=1, dim2=2), dim=1, descending=True)
    along_outputs = order.unsqueeze(1).expand_as(weight)
    left = torch.gather(weight, 2, along_outputs)
    by_row = torch.gather(covariance, 1, order.unsqueeze(2).expand_as(covariance))
    sorted_covariance = torch.gather(by_row, 2, order.unsqueeze(1).expand_as(covariance))
    factor = inverse_factor(sorted_covariance)
    columns_first, small = left.transpose(1, 2).contiguous(), scale.cpu().numpy()
    steps = torch.empty_like(columns_first)
    for begin in range(0, left.shape[2], _BLOCK):
        end = min(begin + _BLOCK, left.shape[2])
        block = columns_first[:, begin:end].cpu().numpy()
        rounded, errors = (
            torch.from_numpy(part).to(left) for part in _rounded_block(block, small, _numpy(factor, begin, end))
        )
        steps[:, begin:end] = rounded
        columns_first[:, end:] -= factor[:, begin:end, end:].transpose(1, 2) @ errors
    return torch.empty_like(left).scatter_(2, along_outputs, steps.transpose(1, 2).contiguous())


def inverse_factor(covariance: torch.Tensor) -> torch.Tensor:
    """Returns the upper triangular U with U^T U the inverse of a covariance (groups, K, K).

    The Cholesky factor of the reversed matrix, reversed and inverted: half the work of inverting and factoring.
    """
    reversed_factor = torch.linalg.cholesky(covariance.flip(1, 2)).flip(1, 2)
    identity = torch.eye(covariance.shape[1], dtype=covariance.dtype, device=covariance.device)
    factor: torch.Tensor = torch.linalg.solve_triangular(reversed_factor, identity.expand_as(covariance), upper=True)
    return factor


def _numpy(factor: torch.Tensor, begin: int, end: int) -> Array:
    square: Array = factor[:, begin:end, begin:end].cpu().numpy()
    return square


def _rounded_block(left: Array, scale: Array, factor: Array) -> tuple[Array, Array]:
    """Rounds the columns of a block one after the other.

    In NumPy, because there are thousands of columns, each so little work that PyTorch would mostly wait for itself.

    Args:
        left: (groups, columns, outputs); changed in place.
        scale: (groups, outputs).
        factor: (groups, columns, columns).

    Returns:
        The steps, and their errors in the units in which later blocks take them up.
    """
    steps, errors = np.empty_like(left), np.empty_like(left)
    for column in range(left.shape[1]):
        steps[:, column] = np.clip(np.rint(left[:, column] / scale), -LEVELS, LEVELS)
        error = (left[:, column] - steps[:, column] * scale) / factor[:, column, column, None]
        left[:, column + 1 :] -= factor[:, column, column + 1 :, None] * error[:, None]
        errors[:, column] = error
    return steps, errors
