"""What noise on the logit does to a detector, and how much of it is acceptable; pure functions of logits."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import brentq
from scipy.stats import gaussian_kde, norm

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Logits = NDArray[np.float64]
    Labels = NDArray[np.bool_]

# Share of decisions at probability 0.5 that an INT8 variant may be expected to reverse: one of some 500 videos.
MAX_FLIP_SHARE = 0.002
_CLIPPED_AUC = 1e-6
_SMALLEST_RATIO = 1e-12
_LIMIT_DB = 120.0
_LARGEST_SQNR_DB = 80.0


def within_class_variance(logits: Logits, is_fake: Labels) -> float:
    """Returns the variance of logits (N,) around the mean of their class, pooled over both classes."""
    residual = np.array(logits, dtype=np.float64)
    for label in (False, True):
        chosen = is_fake == label
        if np.any(chosen):
            residual[chosen] -= residual[chosen].mean()
    return float(np.mean(residual**2))


def sqnr_db(signal_variance: float, error: Logits) -> float:
    """Returns 10 log10(signal variance / mean squared error), between -120 and 120 dB."""
    return noise_in_db(signal_variance, float(np.mean(np.square(error, dtype=np.float64))))


def noise_in_db(signal_variance: float, noise_power: float) -> float:
    """Returns 10 log10(signal variance / noise power), between -120 and 120 dB; -120 if the noise is not finite."""
    if not math.isfinite(noise_power):
        return -_LIMIT_DB
    ratio = signal_variance / noise_power if noise_power > 0 else math.inf
    return 10 * math.log10(min(max(ratio, _SMALLEST_RATIO), 1 / _SMALLEST_RATIO))


def power_from_db(signal_variance: float, sqnr: float) -> float:
    """Returns the noise power that a SQNR stands for."""
    return float(signal_variance * 10 ** (-sqnr / 10))


def expected_flips(logits: Logits, noise_power: float) -> float:
    """Returns the expected share of decisions at logit 0 that Gaussian noise of this power reverses.

    Noise of standard deviation s reverses the decisions nearest to the threshold: f(0) s sqrt(2 / pi) of all, where f
    is the density of the logits. That is a kernel estimate, because the one or two of some hundred images that happen
    to lie nearest say nothing about the thousands to come.
    """
    if np.ptp(logits) == 0:
        return 0.0 if logits[0] else 0.5
    density = float(gaussian_kde(logits)(0.0)[0])
    return min(density * math.sqrt(2 * noise_power / math.pi), 0.5)


def expected_auc_drop(auc: float, noise_ratio: float) -> float:
    """Returns how much AUC independent noise costs a binormal detector.

    Args:
        auc: AUC without the noise, 0.5 to 1.
        noise_ratio: Noise power over within-class variance.
    """
    separation = norm.ppf(min(max(auc, 0.5), 1 - _CLIPPED_AUC))
    return float(norm.cdf(separation) - norm.cdf(separation / math.sqrt(1 + noise_ratio)))


def sqnr_for_auc(auc: float, max_auc_drop: float) -> float:
    """Returns the SQNR at which a binormal detector of this AUC is expected to lose no more than the limit."""
    return _smallest_sqnr(lambda sqnr: expected_auc_drop(auc, 10 ** (-sqnr / 10)) - max_auc_drop)


def sqnr_for_decisions(logits: Logits, is_fake: Labels, max_share: float = MAX_FLIP_SHARE) -> float:
    """Returns the SQNR at which no more than a share of the decisions is expected to flip.

    Args:
        logits: FP32 logits (N,) of calibration images.
        is_fake: Their labels.
        max_share: The largest acceptable share, 0 to 1.
    """
    variance = within_class_variance(logits, is_fake)
    return _smallest_sqnr(lambda sqnr: expected_flips(logits, power_from_db(variance, sqnr)) - max_share)


def _smallest_sqnr(excess: Callable[[float], float]) -> float:
    """Finds where a falling function of the SQNR crosses zero, between 0 and 80 dB."""
    if excess(0.0) <= 0:
        return 0.0
    if excess(_LARGEST_SQNR_DB) >= 0:
        return _LARGEST_SQNR_DB
    return float(brentq(excess, 0.0, _LARGEST_SQNR_DB, xtol=1e-3))
