from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, roc_auc_score

from evaluate.statistics.clustered_count import clustered_count
from evaluate.statistics.proportion import proportion
from evaluate.statistics.slices import SMALLEST_SLICE, Slice, slices_from_scores
from export.errors import DataError
from tests.evaluate.statistics.drawn_scores import SEEDS, Labelled

if TYPE_CHECKING:
    from numpy.typing import NDArray

Attributes = list[dict[str, str]]


def labelled_videos(seed: int, count: int = 240) -> tuple[Attributes, Labelled]:
    """Folders of one class, sources of both, a set that holds all, and identities of half of the videos."""
    rng = np.random.default_rng(seed)
    is_fake = rng.random(count) < 0.6
    folders = np.where(is_fake, "synthesis", rng.choice(["celeb-real", "youtube-real"], count)).tolist()
    sources = rng.choice(["one", "two", "three"], count).tolist()
    attributes = [{"folder": f, "source": s, "set": "all"} for f, s in zip(folders, sources, strict=True)]
    for named in attributes[: count // 2]:
        named["identity"] = f"id{rng.integers(12)}"
    return attributes, (is_fake, np.round(rng.normal(0.4 + 0.2 * is_fake, 0.2) * 20) / 20)


def moved(scores: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    return scores + 0.1 * np.random.default_rng(seed + 1).standard_normal(len(scores))


def chosen(attributes: Attributes, part: Slice) -> NDArray[np.bool_]:
    return np.array([named.get(part.attribute) == part.value for named in attributes])


@pytest.mark.parametrize("seed", SEEDS)
def test_a_slice_has_the_figures_of_its_videos(seed: int) -> None:
    attributes, (is_fake, baseline) = labelled_videos(seed)
    scores = moved(baseline, seed)
    found = slices_from_scores(attributes, is_fake, scores, baseline, 0.5, np.arange(len(is_fake)))
    assert {part.value for part in found} >= {"synthesis", "celeb-real", "youtube-real", "one", "two", "three"}
    for part in found:
        inside = chosen(attributes, part)
        labels = is_fake[inside]
        assert (part.fakes, part.reals) == (np.sum(labels), np.sum(~labels))
        compared = inside if 0 < np.mean(labels) < 1 else inside | (is_fake != labels[0])
        auc = roc_auc_score(is_fake[compared], scores[compared])
        assert part.auc == pytest.approx(auc, abs=1e-12)
        assert part.auc_diff == pytest.approx(auc - roc_auc_score(is_fake[compared], baseline[compared]), abs=1e-12)
        _, fp, fn, _ = confusion_matrix(labels, scores[inside] >= 0.5, labels=[False, True]).ravel()
        assert (part.missed_fakes.count, part.missed_fakes.total) == (fn, part.fakes)
        assert (part.false_alarms.count, part.false_alarms.total) == (fp, part.reals)


@pytest.mark.parametrize("seed", SEEDS)
def test_slices_are_those_large_enough_but_not_everything_in_the_order_of_their_names(seed: int) -> None:
    attributes, (is_fake, scores) = labelled_videos(seed)
    found = slices_from_scores(attributes, is_fake, scores, None, 0.5, np.arange(len(is_fake)))
    names = [(part.attribute, part.value) for part in found]
    assert names == sorted(set(names))
    expected = {pair for named in attributes for pair in named.items()}
    sizes = {pair: sum(named.get(pair[0]) == pair[1] for named in attributes) for pair in expected}
    assert set(names) == {pair for pair, size in sizes.items() if SMALLEST_SLICE <= size < len(scores)}
    assert all(part.fakes + part.reals == sizes[part.attribute, part.value] for part in found)
    assert all(part.auc_diff is None for part in found)


def test_the_smallest_slice_counts() -> None:
    is_fake = np.arange(20) % 2 == 0
    attributes = [{"source": "few" if index < 9 else "enough"} for index in range(20)]
    found = slices_from_scores(attributes, is_fake, is_fake * 0.5, None, 0.5, np.arange(len(is_fake)))
    assert [part.value for part in found] == ["enough"]
    found = slices_from_scores(attributes, is_fake, is_fake * 0.5, None, 0.5, np.arange(len(is_fake)), smallest=9)
    assert [part.value for part in found] == ["enough", "few"]


def test_a_slice_of_one_class_is_judged_against_all_of_the_other() -> None:
    """Ten reals score like the fakes and ten below them."""
    is_fake = np.repeat([True, False], [10, 20])
    scores = np.repeat([0.8, 0.8, 0.1], 10)
    folders = np.repeat(["fakes", "like fakes", "unlike them"], 10).tolist()
    found = slices_from_scores(
        [{"folder": folder} for folder in folders], is_fake, scores, scores, 0.8, np.arange(len(is_fake))
    )
    assert [(part.value, part.auc, part.auc_diff) for part in found] == [
        ("fakes", 0.75, 0.0),
        ("like fakes", 0.5, 0.0),
        ("unlike them", 1.0, 0.0),
    ]
    assert [part.false_alarms.share for part in found] == [0.0, 1.0, 0.0]
    assert [part.missed_fakes.total for part in found] == [10, 0, 0]


def test_errors_of_a_folder_count_by_the_person_and_those_of_a_person_by_the_video() -> None:
    """Four persons of ten fakes and ten reals, two of them in each folder; all of a person's videos are alike."""
    persons, is_fake = np.repeat(np.arange(4), 20), np.arange(80) % 2 == 0
    scores = np.where(persons % 2 == 0, 0.9, 0.1)
    named = [{"folder": f"part {person // 2}", "identity": f"id{person}"} for person in persons]
    for part in slices_from_scores(named, is_fake, scores, None, 0.5, persons):
        inside = chosen(named, part)
        by = persons if part.attribute == "folder" else np.arange(80)
        missed = clustered_count((scores < 0.5)[inside & is_fake], scores[inside & is_fake], by[inside & is_fake])
        alarms = clustered_count((scores >= 0.5)[inside & ~is_fake], -scores[inside & ~is_fake], by[inside & ~is_fake])
        assert (part.missed_fakes, part.false_alarms) == (proportion(missed), proportion(alarms))
        assert (part.missed_fakes.interval.width > 0.9) == (part.attribute == "folder")


def test_videos_without_attributes_have_no_slices() -> None:
    assert slices_from_scores([{}, {}], np.array([True, False]), np.array([0.5, 0.1]), None, 0.5, np.arange(2)) == ()


def test_what_cannot_be_sliced_is_an_error_that_names_the_reason() -> None:
    is_fake, scores = np.array([True, False]), np.array([0.1, 0.2])
    named = [{"folder": "a"}, {"folder": "b"}]
    with pytest.raises(DataError, match="1 of 2 scores are NaN"):
        slices_from_scores(named, is_fake, np.array([0.1, np.nan]), None, 0.5, np.arange(len(is_fake)))
    with pytest.raises(DataError, match="1 of 2 scores are NaN"):
        slices_from_scores(named, is_fake, scores, np.array([0.1, np.nan]), 0.5, np.arange(len(is_fake)))
    with pytest.raises(DataError, match="attributes of 1 videos and 2 scores"):
        slices_from_scores(named[:1], is_fake, scores, None, 0.5, np.arange(len(is_fake)))
    with pytest.raises(DataError, match="2 fakes and 0 reals"):
        slices_from_scores(named, np.array([True, True]), scores, None, 0.5, np.arange(len(scores)))
    with pytest.raises(DataError, match="the threshold is nan"):
        slices_from_scores(named, is_fake, scores, None, float("nan"), np.arange(len(is_fake)), smallest=1)
