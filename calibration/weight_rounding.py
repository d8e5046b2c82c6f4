"""Rounds the weights of one layer to INT8 so that their errors cancel; see `calibration.weight_fitting`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from calibration.int8_from_table import scale_from_amax
from calibration.ranges import LEVELS
from calibration.weight_fitting import Compensation

if TYPE_CHECKING:
    from numpy.typing import NDArray


def scales_of(weight: torch.Tensor) -> torch.Tensor:
    """Returns the scale (groups, outputs) of each output channel: its largest magnitude is 127."""
    amax = weight.abs().amax(dim=2).float().cpu().numpy()
    return torch.from_numpy(scale_from_amax(amax)).to(weight)


def rounded_with_compensation(weight: torch.Tensor, scale: torch.Tensor, covariance: torch.Tensor) -> torch.Tensor:
    """Rounds weights column by column and lets the columns to come take up the error.

    Args:
        weight: (groups, outputs, K), float64.
        scale: (groups, outputs).
        covariance: (groups, K, K) of the input, positive definite.

    Returns:
        Steps in -127..127, (groups, outputs, K).
    """
    step = scale.cpu().numpy()

    def to_nearest(values: NDArray[np.float64], _: int) -> NDArray[np.float64]:
        rounded: NDArray[np.float64] = np.clip(np.rint(values / step), -LEVELS, LEVELS) * step
        return rounded

    return torch.round(Compensation(covariance).settled(weight, lambda *_: to_nearest) / scale.unsqueeze(2))
