"""How far a variant's scores lie from the baseline's, and which decisions that turns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from evaluate.metrics import checked_scores
from evaluate.statistics.decision_counts import flips
from evaluate.statistics.mcnemar import mcnemar_p_value
from evaluate.statistics.proportion import Proportion, proportion
from export.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True)
class Flips:
    """Decisions at one threshold that differ from the baseline's.

    Attributes:
        repaired: Wrong by the baseline, right by the variant.
        broken: Right by the baseline, wrong by the variant: negative flips (Yan et al., CVPR 2021).
        share: Both, of all videos.
        p_value: Exact McNemar test of as many of the one as of the other; see `mcnemar.mcnemar_p_value`.
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
        sqnr_db: Signal-to-noise ratio of the frames' logits in dB: variance of the baseline's within a class over the
            mean squared difference, between -120 and 120 (`calibration.logit_noise`); None where no logit differs.
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
    frame_is_fake: NDArray[np.bool_],
    logits: tuple[NDArray[np.float64], NDArray[np.float64]],
    threshold: float,
    clusters: NDArray[np.int64],
    worst: int = 20,
) -> Drift:
    """Compares the scores of videos, and the logits of their frames, with the baseline's.

    Args:
        samples: Names of the videos, length N.
        is_fake: Their labels, shape (N,).
        baseline: The baseline's scores, shape (N,).
        scores: The variant's scores, shape (N,).
        frame_is_fake: Labels of all frames, shape (M,).
        logits: Logits of all frames, each of shape (M,), the baseline's first.
        threshold: A score of at least this is called fake.
        clusters: Number of each video's cluster, shape (N,); see `clusters.cluster_numbers`.
        worst: How many of the videos that moved furthest are named.

    Raises:
        DataError: The input is empty, mismatched or not finite.
    """
    from scipy.stats import ks_2samp, rankdata

    _, baseline = checked_scores(is_fake, baseline)
    is_fake, scores = checked_scores(is_fake, scores)
    if len(samples) != scores.size or not np.isfinite(threshold):
        raise DataError(
            f"{len(samples)} names for {scores.size} videos and a threshold of {threshold}; "
            "expected one name per video and a finite threshold"
        )
    difference = scores - baseline
    called = np.stack([baseline >= threshold, scores >= threshold])
    moved = sorted(range(scores.size), key=lambda index: (-abs(difference[index]), samples[index]))
    return Drift(
        threshold=threshold,
        pearson=_correlation(baseline, scores),
        # Ranks share the mean of their places where scores are tied.
        spearman=_correlation(rankdata(baseline), rankdata(scores)),
        ks_statistic=float(ks_2samp(baseline, scores, method="asymp").statistic),
        sqnr_db=_sqnr_db(frame_is_fake, *logits),
        mean_difference=float(difference.mean()),
        mean_absolute=float(np.abs(difference).mean()),
        largest_absolute=float(np.abs(difference).max()),
        flips=_flips(is_fake, baseline, scores, threshold, clusters),
        worst=tuple(
            DriftedVideo(
                samples[i], bool(is_fake[i]), float(baseline[i]), float(scores[i]), bool(called[0, i] != called[1, i])
            )
            for i in moved[:worst]
        ),
    )


def _flips(
    is_fake: NDArray[np.bool_],
    baseline: NDArray[np.float64],
    scores: NDArray[np.float64],
    threshold: float,
    clusters: NDArray[np.int64],
) -> Flips:
    was_right, is_right = ((each >= threshold) == is_fake for each in (baseline, scores))
    repaired, broken = ~was_right & is_right, was_right & ~is_right
    share = proportion(flips(baseline, scores, threshold, clusters))
    return Flips(int(repaired.sum()), int(broken.sum()), share, mcnemar_p_value(repaired, broken, clusters))


def _correlation(one: NDArray[np.float64], other: NDArray[np.float64]) -> float | None:
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return None
    # Scaled before they are squared, so that tiny deviations do not underflow.
    one, other = ((values - values.mean()) / np.ptp(values) for values in (one, other))
    return float(np.clip(one @ other / np.sqrt((one @ one) * (other @ other)), -1.0, 1.0))


def _sqnr_db(is_fake: NDArray[np.bool_], baseline: NDArray[np.float64], logits: NDArray[np.float64]) -> float | None:
    from calibration.logit_noise import sqnr_db, within_class_variance

    _, baseline = checked_scores(is_fake, baseline)
    is_fake, logits = checked_scores(is_fake, logits)
    if np.array_equal(baseline, logits):
        return None
    return sqnr_db(within_class_variance(baseline, is_fake), logits - baseline)
