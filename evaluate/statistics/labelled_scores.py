"""Labels of videos and the scores that several variants give them, checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from export.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, eq=False)
class LabelledScores:
    """Scores of K variants for the same N videos, of both classes.

    Attributes:
        is_fake: Labels, shape (N,).
        scores: Scores, shape (K, N), finite.
    """

    is_fake: NDArray[np.bool_]
    scores: NDArray[np.float64]

    @property
    def fakes(self) -> int:
        """Number of fakes."""
        return int(self.is_fake.sum())

    @property
    def reals(self) -> int:
        """Number of reals."""
        return self.is_fake.size - self.fakes


def labelled_scores(is_fake: ArrayLike, scores: ArrayLike) -> LabelledScores:
    """Checks labels (N,) and scores (K, N).

    Raises:
        DataError: The shapes disagree, a score is not finite, or a class is missing.
    """
    labels, values = np.asarray(is_fake), np.asarray(scores, dtype=np.float64)
    if labels.dtype != np.bool_ or labels.ndim != 1 or values.ndim != 2 or values.shape[1] != labels.size:
        raise DataError(
            f"labels are {labels.dtype} {labels.shape} and scores {values.shape}; expected a boolean vector and one "
            "row of that length per variant"
        )
    broken = int(np.sum(~np.isfinite(values)))
    if broken:
        raise DataError(f"{broken} of {values.size} scores are NaN or infinite; the engine computes garbage")
    checked = LabelledScores(labels, values)
    if not checked.fakes or not checked.reals:
        raise DataError(f"the scores are of {checked.fakes} fakes and {checked.reals} reals; an AUC needs both classes")
    return checked
