"""How much a compressed detector differs from the FP32 one: AUC with intervals, decisions, noise of the logit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from evaluate.metrics import DEFAULT_THRESHOLD, confusion_at, roc_auc
from evaluate.scores import video_scores_from_frames
from export.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from evaluate.scores import FrameScore

RESAMPLES = 2000
SEED = 0
_TAILS = (2.5, 97.5)


@dataclass(frozen=True)
class Comparison:
    """One method against FP32 on the same test set.

    Attributes:
        auc: Area under the ROC curve, by video.
        auc_interval: 95 % bootstrap interval of `auc`.
        auc_difference: `auc` less that of FP32.
        difference_interval: 95 % interval of the difference, from the same resamples of both.
        accuracy: Share of right decisions at 0.5, by video.
        false_positives: Real videos called fake at 0.5.
        flips: Videos whose decision at 0.5 is not that of FP32.
        videos: Number of videos.
        sqnr_db: Variance of the FP32 frame logits over the mean squared difference, None if nothing differs.
        sqnr_within_db: The same with the variance within real and fake, pooled.
    """

    auc: float
    auc_interval: tuple[float, float]
    auc_difference: float
    difference_interval: tuple[float, float]
    accuracy: float
    false_positives: int
    flips: int
    videos: int
    sqnr_db: float | None
    sqnr_within_db: float | None


def comparison_of_frames(reference: Sequence[FrameScore], candidate: Sequence[FrameScore]) -> Comparison:
    """Compares two sets of frame scores of the same images.

    Raises:
        DataError: They are not of the same images.
    """
    if [frame.path for frame in reference] != [frame.path for frame in candidate]:
        raise DataError("the scores are of other images than those of FP32; delete the benchmark's folder")
    fp32, own = (video_scores_from_frames(frames, "mean-probability") for frames in (reference, candidate))
    is_fake = fp32.is_fake
    resampled = [(roc_auc(is_fake[k], fp32.scores[k]), roc_auc(is_fake[k], own.scores[k])) for k in _draws(is_fake)]
    reference_aucs, own_aucs = np.array(resampled).T
    total, within = _sqnr_db(reference, candidate)
    auc = roc_auc(is_fake, own.scores)
    confusion = confusion_at(DEFAULT_THRESHOLD, is_fake, own.scores)
    return Comparison(
        auc=auc,
        auc_interval=_interval(own_aucs),
        auc_difference=auc - roc_auc(is_fake, fp32.scores),
        difference_interval=_interval(own_aucs - reference_aucs),
        accuracy=confusion.accuracy,
        false_positives=confusion.fp,
        flips=int(np.sum((own.scores >= DEFAULT_THRESHOLD) != (fp32.scores >= DEFAULT_THRESHOLD))),
        videos=len(is_fake),
        sqnr_db=total,
        sqnr_within_db=within,
    )


def _draws(is_fake: NDArray[np.bool_]) -> list[NDArray[np.intp]]:
    """Draws videos with replacement, as many of each class as there are; every method gets the same draws."""
    rng = np.random.default_rng(SEED)
    classes = [np.flatnonzero(is_fake), np.flatnonzero(~is_fake)]
    return [np.concatenate([rng.choice(own, own.size) for own in classes]) for _ in range(RESAMPLES)]


def _interval(values: NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.percentile(values, _TAILS)
    return float(low), float(high)


def _sqnr_db(reference: Sequence[FrameScore], candidate: Sequence[FrameScore]) -> tuple[float | None, float | None]:
    logits = np.array([frame.logit for frame in reference])
    noise = float(np.mean((np.array([frame.logit for frame in candidate]) - logits) ** 2))
    if noise == 0:
        return None, None
    is_fake = np.array([frame.is_fake for frame in reference])
    means = np.where(is_fake, logits[is_fake].mean(), logits[~is_fake].mean())
    return _db(float(logits.var()) / noise), _db(float(np.mean((logits - means) ** 2)) / noise)


def _db(ratio: float) -> float:
    return float(10 * np.log10(max(ratio, 1e-12)))
