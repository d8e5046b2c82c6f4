"""How many fakes and reals each threshold calls fake."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from evaluate.metrics import checked_scores, class_sizes

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class ScoreLevels:
    """The distinct scores, the highest first, each as a threshold.

    Attributes:
        scores: Distinct scores, falling, shape (L,).
        fakes_above: Fakes that score at least as much, shape (L,); integers.
        reals_above: Reals that do, likewise.
        fakes: All fakes, at least one.
        reals: All reals, at least one.
    """

    scores: NDArray[np.float64]
    fakes_above: NDArray[np.int64]
    reals_above: NDArray[np.int64]
    fakes: int
    reals: int


def score_levels(is_fake: NDArray[np.bool_], scores: NDArray[np.float64]) -> ScoreLevels:
    """Counts labels (N,) by scores (N,), tied ones together, in one sort.

    Raises:
        DataError: The input is empty, mismatched, not finite, or of one class only.
    """
    is_fake, scores = checked_scores(is_fake, scores)
    fakes, reals = class_sizes(is_fake)
    order = np.argsort(scores)[::-1]
    falling = scores[order]
    last_of_level = np.append(np.flatnonzero(np.diff(falling)), falling.size - 1)
    fakes_above = np.cumsum(is_fake[order], dtype=np.int64)[last_of_level]
    return ScoreLevels(falling[last_of_level], fakes_above, last_of_level + 1 - fakes_above, fakes, reals)
