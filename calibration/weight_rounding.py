"""Rounds the weights of one layer to INT8 so that their errors cancel; see `calibration.weight_fitting`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from calibration.int8_from_table import scale_from_amax
from calibration.ranges import LEVELS
from calibration.weight_fitting import Compensation

if TYPE_CHECKING:
    from calibration.weight_fitting import Array, Columns, Settle


def scales_of(weight: torch.Tensor) -> torch.Tensor:
    """Returns the scale (groups, outputs) of each output channel: its largest magnitude is 127."""
    amax = weight.abs().amax(dim=2).float().cpu().numpy()
    return torch.from_numpy(scale_from_amax(amax)).to(weight)


def rounded_with_compensation(weight: torch.Tensor, scale: torch.Tensor, covariance: torch.Tensor) -> torch.Tensor:
    """Rounds weights column by column and lets the columns to come take up the error.

    Args:
        weight: (groups, outputs, K), float64; its zeros stay zero.
        scale: (groups, outputs).
        covariance: (groups, K, K) of the input, positive definite.

    Returns:
        Steps in -127..127, (groups, outputs, K).
    """
    step = scale.cpu().numpy()

    kept = (weight != 0).transpose(1, 2).cpu().numpy()

    def begin(_: Array, __: Array, columns: Columns) -> Settle:
        stays = np.take_along_axis(kept, columns[:, :, None], axis=1)

        def to_nearest(values: Array, column: int) -> Array:
            rounded: Array = np.clip(np.rint(values / step), -LEVELS, LEVELS) * step * stays[:, column]
            return rounded

        return to_nearest

    return torch.round(Compensation(covariance).settled(weight, begin) / scale.unsqueeze(2))
