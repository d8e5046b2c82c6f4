"""How far a variant's scores lie from the baseline's, and which decisions that turns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from evaluate.statistics.proportion import Proportion  # noqa: TC001  # decoding resolves the fields' types

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Flips:
    """Decisions at one threshold that differ from the baseline's.

    Attributes:
        repaired: Wrong by the baseline, right by the variant.
        broken: Right by the baseline, wrong by the variant: negative flips (Yan et al., CVPR 2021).
        share: Both, of all videos.
        p_value: Exact McNemar test of as many of the one as of the other (McNemar, Psychometrika 1947).
    """

    repaired: int
    broken: int
    share: Proportion
    p_value: float


@dataclass(frozen=True)
class DriftedVideo:
    """A video whose score moved.

    Attributes:
        sample: Its name.
        is_fake: Its label.
        baseline: The baseline's score.
        score: The variant's.
        flipped: Whether its decision at the threshold did, too.
    """

    sample: str
    is_fake: bool
    baseline: float
    score: float
    flipped: bool


@dataclass(frozen=True)
class Drift:
    """A variant's scores against the baseline's on the same videos.

    Attributes:
        threshold: At which decisions are compared.
        pearson: Correlation of the scores; None where one of them is constant.
        spearman: Of their ranks, likewise.
        ks_statistic: Largest distance between the two distributions of scores (Kolmogorov-Smirnov).
        sqnr_db: Signal-to-noise ratio of the frames' logits in dB; None where no logit differs.
        mean_difference: Mean of score minus baseline.
        mean_absolute: Mean of its magnitude.
        largest_absolute: Largest magnitude.
        flips: Decisions that differ.
        worst: The videos that moved furthest, the furthest first.
    """

    threshold: float
    pearson: float | None
    spearman: float | None
    ks_statistic: float
    sqnr_db: float | None
    mean_difference: float
    mean_absolute: float
    largest_absolute: float
    flips: Flips
    worst: tuple[DriftedVideo, ...]


def drift_from_scores(
    samples: Sequence[str],
    is_fake: NDArray[np.bool_],
    baseline: NDArray[np.float64],
    scores: NDArray[np.float64],
    logits: tuple[NDArray[np.float64], NDArray[np.float64]],
    threshold: float,
    worst: int = 20,
) -> Drift:
    """Compares scores (N,) of the videos, and the logits (M,) of their frames, the baseline's first."""
    raise NotImplementedError
