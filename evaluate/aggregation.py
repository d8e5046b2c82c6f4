"""From the frames' logits of a video to its one score."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from export.face_contract import Aggregation

# `confident_strategy` of the winner of the Deepfake Detection Challenge (selimsef/dfdc_deepfake_challenge,
# kernel_utils.py, MIT), made for about 32 frames: a video of eleven frames or fewer has too few for the first rule.
CONFIDENTLY_FAKE = 0.8
CONFIDENTLY_REAL = 0.2
FAKE_FRAMES = 11
FRAMES_PER_FAKE = 2.5
REAL_SHARE = 0.9


def scores_from_logits(logits: Sequence[float] | NDArray[np.floating]) -> NDArray[np.float64]:
    """Returns sigmoid(logits), which does not overflow for any finite logit."""
    return np.exp(-np.logaddexp(0.0, -np.asarray(logits, dtype=np.float64)))


def aggregated_score(logits: Sequence[float], aggregation: Aggregation) -> float:
    """Makes one score of a video's frames; their order changes no bit of it.

    Args:
        logits: One per frame, at least one.
        aggregation: `mean-probability` is the mean of sigmoid(logit), `mean-logit` the sigmoid of the mean logit, `max`
            the largest sigmoid(logit), `confident` the mean of those that are confident where they agree: of the
            frames above 0.8 if they are more than 11 and more than 1 in 2.5, else of those below 0.2 if they are more
            than nine tenths, else of all.

    Returns:
        The score, in [0, 1]; 1 is fake.
    """
    scores: list[float] = scores_from_logits(logits).tolist()
    if aggregation == "mean-logit":
        return float(scores_from_logits([_mean(logits)])[0])
    if aggregation == "max":
        return max(scores)
    if aggregation == "confident":
        return _mean(_confident(scores))
    return _mean(scores)


def _confident(scores: list[float]) -> list[float]:
    fakes = [score for score in scores if score > CONFIDENTLY_FAKE]
    if len(fakes) > len(scores) / FRAMES_PER_FAKE and len(fakes) > FAKE_FRAMES:
        return fakes
    reals = [score for score in scores if score < CONFIDENTLY_REAL]
    return reals if len(reals) > REAL_SHARE * len(scores) else scores


def _mean(values: Sequence[float]) -> float:
    # fsum is exact, so the mean does not depend on the order in which the frames were read.
    return math.fsum(values) / len(values)
