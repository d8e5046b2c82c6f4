"""Placements and covariance against scikit-learn, SciPy, the definition over all pairs, and R's pROC."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy.stats import rankdata
from sklearn.metrics import roc_auc_score

from evaluate.statistics.delong import midranks, placements
from evaluate.statistics.labelled_scores import labelled_scores
from export.errors import DataError
from tests.evaluate.statistics import proc
from tests.evaluate.statistics.drawn_scores import KINDS, SEEDS, drawn

if TYPE_CHECKING:
    from numpy.typing import NDArray

BOTH_SEVERAL = [kind for kind in KINDS if kind not in ("two", "one fake", "one real")]


def curves_of(kind: str, seed: int, count: int = 3) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Scores of one kind and noisy ones beside them, of which some tie."""
    is_fake, scores = drawn(kind, seed)
    rng = np.random.default_rng([seed, 1])
    others = [np.round(scores + rng.normal(0, 0.1, scores.size), 2) for _ in range(count - 1)]
    return is_fake, np.stack([scores, *others])


def covariance_over_all_pairs(is_fake: NDArray[np.bool_], scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """DeLong et al. 1988, equations 4 to 7: the covariance of the structural components."""
    fakes, reals = scores[:, is_fake], scores[:, ~is_fake]
    won = (fakes[:, :, None] > reals[:, None, :]) + 0.5 * (fakes[:, :, None] == reals[:, None, :])
    of_fakes, of_reals = np.cov(won.mean(axis=2)), np.cov(won.mean(axis=1))
    return of_fakes / fakes.shape[1] + of_reals / reals.shape[1]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", KINDS)
def test_aucs_are_those_of_scikit_learn(kind: str, seed: int) -> None:
    is_fake, scores = curves_of(kind, seed)
    expected = [roc_auc_score(is_fake, row) for row in scores]
    assert placements(labelled_scores(is_fake, scores)).aucs == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", BOTH_SEVERAL)
def test_covariance_is_that_over_all_pairs(kind: str, seed: int) -> None:
    is_fake, scores = curves_of(kind, seed)
    expected = covariance_over_all_pairs(is_fake, scores)
    computed = placements(labelled_scores(is_fake, scores)).covariance
    np.testing.assert_allclose(computed, expected, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("seed", SEEDS)
def test_variance_of_a_difference_is_that_of_the_placements_differences(seed: int) -> None:
    is_fake, scores = curves_of("tied", seed, 2)
    placed = placements(labelled_scores(is_fake, scores))
    baseline = placements(labelled_scores(is_fake, scores[:1]))
    gained = placements(labelled_scores(is_fake, scores[1:])).minus(baseline)
    covariance = placed.covariance
    expected = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    assert gained.covariance[0, 0] == pytest.approx(expected, rel=1e-9, abs=1e-15)
    assert gained.aucs[0] == pytest.approx(placed.aucs[1] - placed.aucs[0], abs=1e-12)


@pytest.mark.parametrize("seed", SEEDS)
def test_figures_are_those_of_proc(seed: int) -> None:
    is_fake, scores = curves_of("distinct", seed, 2)
    expected = proc.curves(is_fake, *scores)
    placed = placements(labelled_scores(is_fake, scores))
    assert placed.aucs == pytest.approx(expected.aucs, abs=1e-12)
    np.testing.assert_allclose(np.diag(placed.covariance), expected.variances, rtol=1e-9)
    assert placed.covariance[0, 1] == pytest.approx(expected.covariance, rel=1e-9)


def test_figures_are_those_of_proc_on_its_own_data() -> None:
    is_fake, scores = proc.subarachnoid()
    expected = proc.curves(is_fake, scores[0], scores[2])
    placed = placements(labelled_scores(is_fake, scores))
    # Robin et al. 2011 give these three in their table of the markers.
    assert placed.aucs == pytest.approx([0.731, 0.612, 0.824], abs=5e-4)
    np.testing.assert_allclose(np.diag(placed.covariance)[[0, 2]], expected.variances, rtol=1e-9)
    assert placed.covariance[0, 2] == pytest.approx(expected.covariance, rel=1e-9)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", KINDS)
def test_midranks_are_those_of_scipy(kind: str, seed: int) -> None:
    _, scores = drawn(kind, seed)
    assert midranks(scores).tolist() == rankdata(scores, "average").tolist()


@pytest.mark.parametrize("seed", SEEDS)
def test_only_the_order_counts(seed: int) -> None:
    is_fake, scores = curves_of("tied", seed)
    placed = placements(labelled_scores(is_fake, scores))
    order = np.random.default_rng(seed).permutation(is_fake.size)
    stretched = placements(labelled_scores(is_fake[order], np.arctan(5 * scores[:, order]) - 7))
    np.testing.assert_allclose(stretched.covariance, placed.covariance, rtol=1e-9, atol=1e-18)
    assert stretched.aucs == pytest.approx(placed.aucs, abs=1e-12)
    exchanged = placements(labelled_scores(~is_fake, -scores))
    np.testing.assert_allclose(exchanged.covariance, placed.covariance, rtol=1e-9, atol=1e-18)


def test_a_single_video_of_a_class_leaves_the_largest_variance() -> None:
    is_fake = np.array([True, False, False, False])
    placed = placements(labelled_scores(is_fake, np.array([[0.9, 0.1, 0.2, 0.3]])))
    # Fakes score between 0 and 1 with whatever spread; the reals here have none.
    assert placed.covariance.tolist() == [[0.25]]


def test_memory_grows_with_the_videos_not_with_their_pairs() -> None:
    rng = np.random.default_rng(0)
    videos = 100_000
    scores, is_fake = rng.random((2, videos)), rng.random(videos) < 0.5
    tracemalloc.start()
    placements(labelled_scores(is_fake, scores))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 * 8 * videos


@pytest.mark.parametrize(
    ("is_fake", "scores", "message"),
    [
        ([True, False], [[0.1, float("nan")]], "1 of 2 scores are NaN or infinite"),
        ([True, False], [[0.1, float("inf")]], "1 of 2 scores are NaN or infinite"),
        ([True, True], [[0.1, 0.2]], "of 2 fakes and 0 reals"),
        ([False, False], [[0.1, 0.2]], "of 0 fakes and 2 reals"),
        ([True, False, True], [[0.1, 0.2]], r"bool \(3,\) and scores \(1, 2\)"),
        ([True, False], [0.1, 0.2], r"bool \(2,\) and scores \(2,\)"),
        ([1, 0], [[0.1, 0.2]], r"int64 \(2,\)"),
    ],
)
def test_what_cannot_be_ranked_is_refused(is_fake: list[bool], scores: list[list[float]], message: str) -> None:
    with pytest.raises(DataError, match=message):
        labelled_scores(np.array(is_fake), np.array(scores))
