from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import (
    accuracy_score,
    auc,
    confusion_matrix,
    f1_score,
    precision_score,
    recall_score,
    roc_auc_score,
)
from sklearn.metrics import roc_curve as sklearn_roc_curve

from evaluate.metrics import ConfusionCounts, confusion_at, roc_auc, roc_curve
from export.errors import DataError

Labelled = tuple[NDArray[np.bool_], NDArray[np.float64]]


@st.composite
def labelled_scores(draw: st.DrawFn) -> Labelled:
    """Both classes, and few enough distinct scores that ties are common."""
    pairs = draw(st.lists(st.tuples(st.booleans(), st.integers(0, 12)), min_size=2, max_size=60))
    is_fake = np.array([True, False] + [label for label, _ in pairs])
    return is_fake, np.array([draw(st.integers(0, 12)), draw(st.integers(0, 12))] + [v for _, v in pairs]) / 12


def drawn(seed: int, levels: int, count: int = 400) -> Labelled:
    rng = np.random.default_rng(seed)
    is_fake = rng.random(count) < 0.65
    raw = rng.beta(2, 3, count) + 0.2 * is_fake
    return is_fake, np.clip(np.round(raw * levels) / levels, 0, 1)


@pytest.mark.parametrize("levels", [3, 20, 10**9])
@pytest.mark.parametrize("seed", [1, 2])
def test_roc_auc_equals_that_of_scikit_learn(seed: int, levels: int) -> None:
    is_fake, scores = drawn(seed, levels)
    assert roc_auc(is_fake, scores) == pytest.approx(roc_auc_score(is_fake, scores), abs=1e-12)


@given(labelled_scores())
def test_roc_auc_is_the_share_of_pairs_in_the_right_order(data: Labelled) -> None:
    is_fake, scores = data
    pairs = [(fake > real) + (fake == real) / 2 for fake in scores[is_fake] for real in scores[~is_fake]]
    assert roc_auc(is_fake, scores) == pytest.approx(sum(pairs) / len(pairs), abs=1e-12)


@given(labelled_scores())
def test_roc_auc_ignores_increasing_maps_of_the_scores(data: Labelled) -> None:
    is_fake, scores = data
    assert roc_auc(is_fake, np.exp(3 * scores) - 7) == roc_auc(is_fake, scores)


@given(labelled_scores(), st.integers(0, 2**32 - 1))
def test_roc_auc_ignores_the_order_of_samples(data: Labelled, seed: int) -> None:
    is_fake, scores = data
    order = np.random.default_rng(seed).permutation(len(scores))
    assert roc_auc(is_fake[order], scores[order]) == roc_auc(is_fake, scores)


@given(labelled_scores())
def test_reversed_scores_have_the_complementary_auc(data: Labelled) -> None:
    is_fake, scores = data
    assert roc_auc(is_fake, -scores) == pytest.approx(1 - roc_auc(is_fake, scores), abs=1e-12)


@given(labelled_scores())
def test_roc_curve_has_the_area_of_roc_auc_and_rises_from_corner_to_corner(data: Labelled) -> None:
    is_fake, scores = data
    curve = roc_curve(is_fake, scores)
    x, y = np.array(curve.false_positive_rates), np.array(curve.true_positive_rates)
    assert auc(x, y) == pytest.approx(roc_auc(is_fake, scores), abs=1e-12)
    assert (x[0], y[0], x[-1], y[-1]) == (0, 0, 1, 1)
    assert np.all(np.diff(x) >= 0)
    assert np.all(np.diff(y) >= 0)


@pytest.mark.parametrize("levels", [5, 10**9])
def test_roc_curve_is_that_of_scikit_learn_without_its_collinear_points(levels: int) -> None:
    is_fake, scores = drawn(3, levels)
    curve = roc_curve(is_fake, scores)
    x, y, _ = sklearn_roc_curve(is_fake, scores, drop_intermediate=False)
    points = set(zip(x.tolist(), y.tolist(), strict=True))
    ours = list(zip(curve.false_positive_rates, curve.true_positive_rates, strict=True))
    assert set(ours) <= points
    # Every point left out lies on the segment between those kept: heights along x + y, which always grows, agree.
    total = np.array([a + b for a, b in ours])
    assert np.allclose(np.interp(x + y, total, [b for _, b in ours]), y, atol=1e-12)
    steps = np.diff(np.array(ours), axis=0)
    turns = steps[:-1, 0] * steps[1:, 1] - steps[:-1, 1] * steps[1:, 0]
    assert np.all(np.abs(turns) > 1e-9)


@pytest.mark.parametrize("threshold", [0.0, 0.25, 0.5, 0.9, 1.01])
def test_confusion_and_its_ratios_equal_those_of_scikit_learn(threshold: float) -> None:
    is_fake, scores = drawn(4, 20)
    counts = confusion_at(threshold, is_fake, scores)
    called_fake = scores >= threshold
    tn, fp, fn, tp = confusion_matrix(is_fake, called_fake, labels=[False, True]).ravel()
    assert counts == ConfusionCounts(tp=tp, tn=tn, fp=fp, fn=fn)
    assert counts.samples == len(scores)
    assert counts.precision == pytest.approx(precision_score(is_fake, called_fake, zero_division=0))
    assert counts.recall == pytest.approx(recall_score(is_fake, called_fake, zero_division=0))
    assert counts.false_positive_rate == pytest.approx(recall_score(~is_fake, called_fake, zero_division=0))
    assert counts.f1 == pytest.approx(f1_score(is_fake, called_fake, zero_division=0))
    assert counts.accuracy == pytest.approx(accuracy_score(is_fake, called_fake))


def test_a_score_at_the_threshold_is_called_fake() -> None:
    counts = confusion_at(0.5, np.array([True, False]), np.array([0.5, 0.5]))
    assert counts == ConfusionCounts(tp=1, tn=0, fp=1, fn=0)


@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        ([], [], "no scores"),
        ([True, False], [0.1, np.nan], "1 of 2 scores are NaN"),
        ([True, False], [0.1, np.inf], "infinite"),
        ([True, True], [0.1, 0.2], "2 fakes and 0 reals"),
        ([False], [0.1], "0 fakes and 1 reals"),
        ([True, False], [0.1], "expected two vectors of one length"),
    ],
)
def test_unusable_input_is_an_error_that_names_the_reason(
    labels: list[bool], scores: list[float], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        roc_auc(np.array(labels, bool), np.array(scores))
    with pytest.raises(DataError, match=message):
        roc_curve(np.array(labels, bool), np.array(scores))


def test_integer_labels_are_refused_because_celeb_df_counts_the_other_way() -> None:
    with pytest.raises(DataError, match="boolean"):
        roc_auc(np.array([1, 0]), np.array([0.1, 0.2]))
