"""Whether a variant is shown to lose less AUC than a margin, shown to lose more, or neither."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

Grade = Literal["PASS", "FAIL", "INCONCLUSIVE"]


@dataclass(frozen=True)
class NonInferiority:
    """A one-sided comparison with the baseline.

    Attributes:
        grade: PASS if the lower bound is above -margin, FAIL if the upper one is below it, else INCONCLUSIVE.
        margin: Largest acceptable loss of AUC, positive.
        difference: AUC minus the baseline's.
        lower: One-sided lower bound of the difference, at the confidence that Holm's procedure leaves for it.
        upper: One-sided upper bound, likewise.
        p_value: Of the hypothesis that at least the margin is lost, adjusted by Holm over all variants.
        videos_needed: Videos of the same kind that would decide with a power of 80 % if the difference is what was
            measured; None where the grade is not INCONCLUSIVE, or no number would do.
    """

    grade: Grade
    margin: float
    difference: float
    lower: float
    upper: float
    p_value: float
    videos_needed: int | None = None


def noninferiority_of_all(
    is_fake: NDArray[np.bool_],
    scores: NDArray[np.float64],
    baseline: NDArray[np.float64],
    clusters: Sequence[str],
    margins: Sequence[float],
    confidence: float = 0.95,
    replicates: int = 2000,
    seed: int = 0,
) -> tuple[NonInferiority, ...]:
    """Compares each row of scores (K, N) with the baseline (N,), each with its own margin, at one family-wise level.

    Both DeLong and the bootstrap of clusters must agree: the less favourable bound counts.
    """
    raise NotImplementedError


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Returns p-values adjusted by Holm's step-down procedure (Holm, Scandinavian Journal of Statistics 1979)."""
    raise NotImplementedError
