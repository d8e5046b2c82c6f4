"""Statistics of drawn score tables, computed again with scikit-learn and SciPy."""

from __future__ import annotations

import secrets
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from scipy.special import expit
from sklearn.metrics import average_precision_score, brier_score_loss, confusion_matrix, log_loss, roc_auc_score

from evaluate.record import Video
from evaluate.variant_statistics import ScoreTable, VariantScores, statistics_of_variants
from export.errors import DataError

# Drawn anew in every run; a failure shows it, and the name is the same for all processes that share the tests.
FRESH = pytest.param(secrets.randbelow(1 << 32), id="fresh")
NAMES = ("baseline", "q16", "q8")
FOLDERS = {True: ("Celeb-synthesis",), False: ("Celeb-real", "YouTube-real")}


def drawn_table(seed: int, names: tuple[str, ...] = NAMES, validation: bool = True) -> ScoreTable:
    """Draws 20 to 80 videos of 8 people with up to 4 frames each, and scores that variants share in part."""
    rng = np.random.default_rng(seed)
    is_fake = np.arange(int(rng.integers(20, 80))) % 3 > 0
    people = rng.integers(0, 8, is_fake.size)
    videos = tuple(
        Video(
            f"v{index:03d}",
            bool(fake),
            f"id{person}",
            {"folder": FOLDERS[bool(fake)][index % len(FOLDERS[bool(fake)])], "identity": f"id{person}"},
        )
        for index, (fake, person) in enumerate(zip(is_fake, people, strict=True))
    )
    frames = rng.integers(1, 5, is_fake.size)
    of_video = np.repeat(np.arange(is_fake.size), frames)
    validated = np.arange(40) % 2 == 0
    shared, shared_there = rng.normal(is_fake, 0.8)[of_video], rng.normal(validated, 0.8)
    variants = []
    for name in names:
        logits = shared + rng.normal(0, 0.3, of_video.size)
        scores = np.bincount(of_video, expit(logits)) / frames
        there = expit(shared_there + rng.normal(0.2, 0.3, validated.size)) if validation else None
        variants.append(VariantScores(name, scores, logits, there))
    return ScoreTable(videos, is_fake[of_video], tuple(variants), validated if validation else None)


def best_youden(is_fake: np.ndarray, scores: np.ndarray) -> float:
    middles = (np.unique(scores)[1:] + np.unique(scores)[:-1]) / 2
    return max(np.mean(scores[is_fake] >= t) - np.mean(scores[~is_fake] >= t) for t in middles)


@pytest.mark.parametrize("seed", [0, 1, FRESH])
def test_statistics_are_those_of_other_libraries(seed: int) -> None:
    table = drawn_table(seed)
    found = statistics_of_variants(table)
    is_fake, baseline = table.is_fake, table.variants[0]
    for variant in table.variants:
        one = found[variant.name]
        auc = roc_auc_score(is_fake, variant.videos)
        assert one.scores == tuple(variant.videos)
        assert one.auc.value == pytest.approx(auc, abs=1e-12)
        assert one.auc.quoted.low <= auc <= one.auc.quoted.high
        assert one.quality.average_precision == pytest.approx(average_precision_score(is_fake, variant.videos))
        assert one.quality.log_loss == pytest.approx(log_loss(is_fake, variant.videos))
        frames = expit(variant.logits)
        assert one.frame_quality.auc == pytest.approx(roc_auc_score(table.frame_is_fake, variant.logits), abs=1e-12)
        assert one.frame_quality.brier == pytest.approx(brier_score_loss(table.frame_is_fake, frames))
        for point in one.operating_points:
            tn, fp, fn, tp = confusion_matrix(is_fake, variant.videos >= point.threshold).ravel()
            counts = point.confusion
            assert (counts.tn, counts.fp, counts.fn, counts.tp) == (tn, fp, fn, tp)
        for part in one.slices:
            members = np.array([video.attributes[part.attribute] == part.value for video in table.videos])
            if part.fakes == 0 or part.reals == 0:
                members |= is_fake == (part.fakes == 0)
            assert part.auc == pytest.approx(roc_auc_score(is_fake[members], variant.videos[members]), abs=1e-12)
        if variant is baseline:
            assert (one.difference, one.drift) == (None, None)
            continue
        assert one.difference is not None
        assert one.difference.value == pytest.approx(auc - roc_auc_score(is_fake, baseline.videos), abs=1e-12)
        assert one.drift is not None
        assert one.drift.pearson == pytest.approx(stats.pearsonr(baseline.videos, variant.videos).statistic)
        assert one.drift.spearman == pytest.approx(stats.spearmanr(baseline.videos, variant.videos).statistic)
        assert one.drift.ks_statistic == pytest.approx(stats.ks_2samp(baseline.videos, variant.videos).statistic)
        frozen = one.at("frozen")
        assert frozen is not None
        flipped = (baseline.videos >= frozen.threshold) != (variant.videos >= frozen.threshold)
        assert one.drift.threshold == frozen.threshold
        assert one.drift.flips.share.count == flipped.sum()


@pytest.mark.parametrize("seed", [0, 1, FRESH])
def test_thresholds_are_the_best_of_the_validation_set(seed: int) -> None:
    table = drawn_table(seed)
    assert table.validation_is_fake is not None
    found = statistics_of_variants(table)
    assert len({one.at("frozen").threshold for one in found.values()}) == 1  # type: ignore[union-attr]
    fitted = {variant.name: found[variant.name].at("refitted") for variant in table.variants}
    for variant in table.variants:
        scores, point = variant.validation, fitted[variant.name]
        assert scores is not None
        assert point is not None
        rates = [np.mean(scores[table.validation_is_fake == fake] >= point.threshold) for fake in (True, False)]
        assert rates[0] - rates[1] == pytest.approx(best_youden(table.validation_is_fake, scores))
    assert found["q8"].at("frozen").threshold == fitted["baseline"].threshold  # type: ignore[union-attr]
    assert found["q8"].at("default").threshold == 0.5  # type: ignore[union-attr]


@pytest.mark.parametrize("seed", [0, FRESH])
def test_equal_scores_have_no_difference_at_all(seed: int) -> None:
    table = drawn_table(seed)
    same = replace(table, variants=(table.variants[0], replace(table.variants[0], name="copy")))
    copy = statistics_of_variants(same)["copy"]
    assert copy.difference is not None
    assert copy.drift is not None
    assert (copy.difference.value, copy.difference.quoted.width) == (0.0, 0.0)
    assert (copy.drift.sqnr_db, copy.drift.flips.share.count, copy.drift.largest_absolute) == (None, 0, 0.0)
    assert {part.auc_diff for part in copy.slices} <= {0.0}


@pytest.mark.parametrize("seed", [0, FRESH])
def test_a_variant_says_the_same_whatever_stands_beside_it(seed: int) -> None:
    table = drawn_table(seed)
    pair = replace(table, variants=(table.variants[2], table.variants[0]))
    assert statistics_of_variants(pair)["q8"] == statistics_of_variants(table)["q8"]


def test_without_validation_set_or_baseline_fields_are_none() -> None:
    alone = statistics_of_variants(drawn_table(3, validation=False))
    assert [point.origin for point in alone["q8"].operating_points] == ["default"]
    assert alone["q8"].drift.threshold == 0.5  # type: ignore[union-attr]
    without = statistics_of_variants(drawn_table(3, ("q16", "q8")))
    for one in without.values():
        assert (one.difference, one.drift) == (None, None)
        assert [point.origin for point in one.operating_points] == ["default", "refitted"]
    assert statistics_of_variants(drawn_table(3, ("baseline",)))["baseline"].difference is None


def test_slices_are_compared_at_the_frozen_threshold() -> None:
    table = drawn_table(5)
    one = statistics_of_variants(table)["q8"]
    folder = next(part for part in one.slices if part.value == "Celeb-synthesis")
    assert folder.missed_fakes == one.at("frozen").missed_fakes  # type: ignore[union-attr]
    assert all(part.fakes + part.reals >= 10 for part in one.slices)
    assert {part.attribute for part in one.slices} == {"folder", "identity"}


def with_broken(table: ScoreTable, **changes: object) -> ScoreTable:
    return replace(table, variants=(*table.variants[:2], replace(table.variants[2], **changes)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("videos", "q8 has .* scores of videos, 1 of them NaN"),
        ("logits", "q8 has .* logits of frames, 1 of them NaN"),
        ("validation", "q8 has .* scores of the validation set, 1 of them NaN"),
    ],
)
def test_scores_that_are_no_numbers_or_too_few_are_refused(field: str, expected: str) -> None:
    table = drawn_table(0)
    values = np.array(getattr(table.variants[2], field))
    values[3] = np.nan
    with pytest.raises(DataError, match=expected):
        statistics_of_variants(with_broken(table, **{field: values}))
    with pytest.raises(DataError, match=r"q8 has \(.*; expected .*: score all engines on one test set"):
        statistics_of_variants(with_broken(table, **{field: values[:-1]}))


def test_names_listed_twice_one_class_and_no_variant_are_refused() -> None:
    table = drawn_table(0)
    twice = replace(table, videos=(replace(table.videos[0], sample=table.videos[1].sample), *table.videos[1:]))
    with pytest.raises(DataError, match="the scores list v001 twice among"):
        statistics_of_variants(twice)
    with pytest.raises(DataError, match="the scores list q16 twice among 3 variants"):
        statistics_of_variants(with_broken(table, name="q16"))
    fakes = replace(table, videos=tuple(replace(video, is_fake=True) for video in table.videos))
    with pytest.raises(DataError, match="and 0 reals"):
        statistics_of_variants(fakes)
    with pytest.raises(DataError, match="no variant has scores"):
        statistics_of_variants(replace(table, variants=()))


def test_a_baseline_that_is_surely_inverted_is_an_error_and_never_turned_round() -> None:
    table = drawn_table(0)
    inverted = tuple(
        replace(variant, videos=1 - variant.videos, logits=-variant.logits) if variant.name == "baseline" else variant
        for variant in table.variants
    )
    with pytest.raises(DataError, match=r"baseline has an AUC of 0\.[0-3].*check the labels and the index"):
        statistics_of_variants(replace(table, variants=inverted))
    others = statistics_of_variants(replace(table, variants=inverted[1:]))
    assert others["q8"].auc.value > 0.5
