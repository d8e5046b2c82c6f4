from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr
from statsmodels.stats.contingency_tables import mcnemar

from evaluate.statistics.clustered_count import clustered_count
from evaluate.statistics.drift import Drift, drift_from_scores
from evaluate.statistics.mcnemar import mcnemar_p_value
from evaluate.statistics.proportion import proportion
from export.errors import DataError
from tests.evaluate.statistics.drawn_scores import SEEDS, Labelled, drawn

if TYPE_CHECKING:
    from numpy.typing import NDArray


def drift(
    data: Labelled, scores: NDArray[np.float64], threshold: float = 0.5, logits: NDArray[np.float64] | None = None
) -> Drift:
    is_fake, baseline = data
    samples = [f"video{index:04d}" for index in range(len(baseline))]
    frames = (baseline, scores if logits is None else logits)
    return drift_from_scores(samples, is_fake, baseline, scores, is_fake, frames, threshold, np.arange(is_fake.size))


def moved(data: Labelled, seed: int, levels: int = 10**9) -> NDArray[np.float64]:
    noise = 0.15 * np.random.default_rng(seed + 1).standard_normal(len(data[1]))
    return np.clip(np.round((data[1] + noise) * levels) / levels, 0, 1)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("kind", "levels"), [("distinct", 10**9), ("tied", 7), ("certain", 1), ("one fake", 20)])
def test_figures_are_those_of_scipy_and_statsmodels(kind: str, levels: int, seed: int) -> None:
    data = drawn(kind, seed)
    is_fake, baseline = data
    scores = moved(data, seed, levels)
    found = drift(data, scores, threshold=0.5)
    assert found.pearson == pytest.approx(pearsonr(baseline, scores).statistic, abs=1e-12)
    assert found.spearman == pytest.approx(spearmanr(baseline, scores).statistic, abs=1e-12)
    was_right, is_right = (baseline >= 0.5) == is_fake, (scores >= 0.5) == is_fake
    table = [[int(np.sum((was_right == a) & (is_right == b))) for b in (True, False)] for a in (True, False)]
    assert found.flips.p_value == pytest.approx(mcnemar(table, exact=True).pvalue, abs=1e-12)
    assert (found.flips.broken, found.flips.repaired) == (table[0][1], table[1][0])
    assert found.flips.share.count == np.sum((baseline >= 0.5) != (scores >= 0.5))
    assert found.flips.share.total == len(scores)
    assert found.mean_difference == pytest.approx(scores.mean() - baseline.mean(), abs=1e-12)
    assert found.mean_absolute == pytest.approx(sum(abs(scores - baseline).tolist()) / len(scores), abs=1e-12)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("kind", "levels"), [("distinct", 10**9), ("tied", 7), ("two", 3)])
def test_ranks_and_distributions_are_those_of_their_definitions(kind: str, levels: int, seed: int) -> None:
    data = drawn(kind, seed)
    baseline, scores = data[1], moved(data, seed, levels)
    if np.ptp(scores) == 0:
        scores[0] += 1e-3
    found = drift(data, scores)
    places = [
        [np.sum(values < value) + (np.sum(values == value) + 1) / 2 for value in values]
        for values in (baseline, scores)
    ]
    if np.ptp(baseline) > 0:
        assert found.spearman == pytest.approx(np.corrcoef(*places)[0, 1], abs=1e-12)
    every = np.concatenate([baseline, scores])
    distance = max(abs(np.mean(baseline <= value) - np.mean(scores <= value)) for value in every)
    assert found.ks_statistic == pytest.approx(distance, abs=1e-12)


def test_sqnr_is_the_noise_that_was_planted() -> None:
    """Far apart, the classes would add to the variance of all logits, but not to the variance within a class."""
    rng = np.random.default_rng(0)
    is_fake = np.arange(200_000) % 3 == 0
    logits = rng.standard_normal(is_fake.size) * 2 + 10 * is_fake
    noisy = logits + rng.standard_normal(is_fake.size) * 2 * 10 ** (-12 / 20)
    videos = (np.array([True, False]), np.array([0.9, 0.1]))
    found = drift_from_scores(["a", "b"], *videos, videos[1], is_fake, (logits, noisy), 0.5, np.arange(2))
    assert found.sqnr_db == pytest.approx(12, abs=0.05)


@pytest.mark.parametrize("seed", SEEDS)
def test_flips_count_by_their_clusters(seed: int) -> None:
    is_fake, baseline = drawn("distinct", seed)
    scores, clusters = moved((is_fake, baseline), seed), np.random.default_rng(seed).integers(0, 9, is_fake.size)
    names = [str(index) for index in range(is_fake.size)]
    found = drift_from_scores(names, is_fake, baseline, scores, is_fake, (baseline, scores), 0.4, clusters).flips
    before, after = baseline >= 0.4, scores >= 0.4
    margins = np.where(before, scores - 0.4, 0.4 - scores)
    assert found.share == proportion(clustered_count(before != after, margins, clusters))
    repaired, broken = (before != is_fake) & (after == is_fake), (before == is_fake) & (after != is_fake)
    assert found.p_value == mcnemar_p_value(repaired, broken, clusters)


@pytest.mark.parametrize("seed", SEEDS)
def test_equal_scores_have_no_drift(seed: int) -> None:
    data = drawn("tied", seed)
    found = drift(data, data[1].copy())
    assert (found.pearson, found.spearman) == (pytest.approx(1.0), pytest.approx(1.0))
    assert (found.ks_statistic, found.sqnr_db, found.mean_absolute, found.largest_absolute) == (0.0, None, 0.0, 0.0)
    assert (found.flips.repaired, found.flips.broken, found.flips.share.count, found.flips.p_value) == (0, 0, 0, 1.0)
    assert not any(video.flipped for video in found.worst)


def test_no_correlation_exceeds_one_by_rounding() -> None:
    for seed in range(60):
        data = drawn("distinct", seed)
        found = drift(data, data[1] / 3)
        assert found.pearson is not None
        assert abs(found.pearson) <= 1.0


def test_constant_scores_have_no_correlation() -> None:
    data = drawn("distinct", 0)
    found = drift(data, np.full(len(data[1]), 0.3))
    assert (found.pearson, found.spearman) == (None, None)


@pytest.mark.parametrize("scale", [1e-300, 1e-12])
def test_correlation_ignores_the_scale_of_the_scores(scale: float) -> None:
    is_fake, baseline = drawn("distinct", 0)
    scores = moved((is_fake, baseline), 0)
    shrunk = drift((is_fake, baseline * scale), scores * scale, threshold=scale / 2)
    assert shrunk.pearson == pytest.approx(drift((is_fake, baseline), scores).pearson, abs=1e-9)


def test_flips_are_counted_by_whether_they_repair_or_break_and_the_p_value_by_hand() -> None:
    """Six broken and one repaired of seven: 2 (1 + 7) / 2**7."""
    is_fake = np.array([True] * 5 + [False] * 5)
    baseline = np.where(is_fake, 0.5, 0.49)
    scores = np.array([0.49, 0.49, 0.49, 0.49, 0.6, 0.5, 0.7, 0.1, 0.1, 0.1])
    baseline[9], scores[9] = 0.8, 0.2
    found = drift((is_fake, baseline), scores)
    assert (found.flips.broken, found.flips.repaired) == (6, 1)
    assert found.flips.p_value == pytest.approx(16 / 128)
    assert [video.sample for video in found.worst if video.flipped][:2] == ["video0009", "video0006"]


@pytest.mark.parametrize("seed", SEEDS)
def test_the_worst_videos_are_those_that_moved_furthest_then_by_name(seed: int) -> None:
    data = drawn("tied", seed)
    scores = moved(data, seed, levels=7)
    found = drift(data, scores, threshold=0.4)
    sizes = [abs(video.score - video.baseline) for video in found.worst]
    assert len(found.worst) == 20
    assert sizes == sorted(np.abs(scores - data[1]).tolist(), reverse=True)[:20]
    assert sizes[0] == found.largest_absolute
    places = [(-abs(video.score - video.baseline), video.sample) for video in found.worst]
    assert places == sorted(places)
    for video in found.worst:
        index = int(video.sample.removeprefix("video"))
        assert (video.is_fake, video.baseline, video.score) == (data[0][index], data[1][index], scores[index])
        assert video.flipped == ((video.baseline >= 0.4) != (video.score >= 0.4))


def test_fewer_videos_than_asked_for_are_all_named() -> None:
    assert len(drift(drawn("two", 0), np.array([0.2, 0.4])).worst) == 2


def test_what_cannot_be_compared_is_an_error_that_names_the_reason() -> None:
    is_fake, scores = np.array([True, False]), np.array([0.1, 0.2])
    frames = (scores, scores)
    with pytest.raises(DataError, match="1 of 2 scores are NaN"):
        drift_from_scores(["a", "b"], is_fake, scores, np.array([0.1, np.nan]), is_fake, frames, 0.5, np.arange(2))
    with pytest.raises(DataError, match="1 of 2 scores are NaN"):
        drift_from_scores(
            ["a", "b"], is_fake, scores, scores, is_fake, (scores, np.array([0.1, np.nan])), 0.5, np.arange(2)
        )
    with pytest.raises(DataError, match="expected two vectors of one length"):
        drift_from_scores(["a", "b"], is_fake, scores[:1], scores, is_fake, frames, 0.5, np.arange(2))
    with pytest.raises(DataError, match="expected two vectors of one length"):
        drift_from_scores(["a", "b"], is_fake, scores, scores, is_fake, (scores, scores[:1]), 0.5, np.arange(2))
    with pytest.raises(DataError, match="1 names for 2 videos"):
        drift_from_scores(["a"], is_fake, scores, scores, is_fake, frames, 0.5, np.arange(2))
    with pytest.raises(DataError, match=r"expected .* a finite threshold"):
        drift_from_scores(["a", "b"], is_fake, scores, scores, is_fake, frames, float("nan"), np.arange(2))
