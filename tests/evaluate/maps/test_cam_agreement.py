from __future__ import annotations

import secrets

import numpy as np
import pytest
from scipy import stats

from evaluate.maps.agreement_sample import agreement_sample
from evaluate.maps.cam_agreement import (
    agreement_of_maps,
    mask_agreement,
    mean_interval,
    overlap_of_maps,
    pearson_of_maps,
)
from export.errors import DataError
from tests.evaluate.samples import samples_named

# Drawn anew in every run; a failure shows it, and the name is the same for all processes that share the tests.
FRESH = pytest.param(secrets.randbelow(1 << 32), id="fresh")


def drawn_maps(seed: int, count: int = 6, side: int = 5) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, side, side)).astype(np.float32)


@pytest.mark.parametrize("seed", [3, FRESH])
def test_correlations_are_those_of_scipy_for_every_pair(seed: int) -> None:
    one, other = drawn_maps(seed), drawn_maps(seed + 1) * 7 - 3
    found = pearson_of_maps(one, other)
    for i in range(len(one)):
        for j in range(len(other)):
            expected = stats.pearsonr(one[i].ravel().astype(float), other[j].ravel().astype(float)).statistic
            assert found[i, j] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("seed", [3, FRESH])
def test_overlaps_are_those_of_sets_of_places(seed: int) -> None:
    one, other = drawn_maps(seed, side=10), drawn_maps(seed + 1, side=10)

    def top(values: np.ndarray) -> set[int]:
        return set(sorted(range(100), key=lambda place: values.ravel()[place])[-20:])

    found = overlap_of_maps(one, other)
    for i in range(len(one)):
        for j in range(len(other)):
            a, b = top(one[i]), top(other[j])
            assert found[i, j] == pytest.approx(len(a & b) / len(a | b))


def test_a_model_agrees_with_itself_whatever_its_scale() -> None:
    maps = drawn_maps(4)
    agreement = agreement_of_maps(maps, 5 * maps + 2)
    assert agreement.pearson == pytest.approx(1.0)
    assert agreement.drift == pytest.approx(0.0)
    assert agreement.overlap == 1.0
    assert (agreement.overlap_interval.low, agreement.overlap_interval.high) == (1.0, 1.0)
    assert agreement.null_pearson < 0.5
    assert agreement.masks is None
    assert agreement.dense_masks is None


@pytest.mark.parametrize("seed", [5, FRESH])
def test_random_maps_agree_no_more_than_different_images_do(seed: int) -> None:
    """Closed forms: independent maps correlate by 0; of 20 places of 100, a share k with hypergeometric chances."""
    agreement = agreement_of_maps(drawn_maps(seed, 200, 10), drawn_maps(seed + 1, 200, 10))
    shared = np.arange(21)
    expected = float(np.sum(stats.hypergeom(100, 20, 20).pmf(shared) * shared / (40 - shared)))
    assert agreement.null_pearson == pytest.approx(0.0, abs=0.01)
    assert agreement.pearson == pytest.approx(0.0, abs=5 * 0.1 / 200**0.5)
    assert agreement.null_overlap == pytest.approx(expected, abs=0.01)


def test_the_null_is_what_deranging_the_images_gives_on_average() -> None:
    one = drawn_maps(7, 9)
    other = one + 0.3 * drawn_maps(8, 9)  # alike where the image is the same, which no derangement pairs
    rng, nulls = np.random.default_rng(0), []
    while len(nulls) < 300:
        order = rng.permutation(9)
        if not np.any(order == np.arange(9)):
            pairs = zip(one, other[order], strict=True)
            nulls.append(np.mean([stats.pearsonr(a.ravel(), b.ravel())[0] for a, b in pairs]))
    assert agreement_of_maps(one, other).null_pearson == pytest.approx(np.mean(nulls), abs=0.02)


def test_faces_that_light_up_at_one_place_have_a_high_null() -> None:
    layout = drawn_maps(9, 1)
    one, other = layout + 0.1 * drawn_maps(10, 30), layout + 0.1 * drawn_maps(11, 30)
    agreement = agreement_of_maps(one, other)
    assert agreement.null_pearson > 0.9
    assert agreement.pearson == pytest.approx(agreement.null_pearson, abs=0.03)


@pytest.mark.parametrize("seed", [12, FRESH])
def test_the_interval_is_about_that_of_scipys_bootstrap(seed: int) -> None:
    values = np.random.default_rng(seed).beta(5, 2, 40)
    found = mean_interval(values)
    expected = stats.bootstrap((values,), np.mean, n_resamples=10_000, method="percentile", rng=seed)
    spread = float(expected.standard_error)
    assert found.low == pytest.approx(expected.confidence_interval.low, abs=0.15 * spread)
    assert found.high == pytest.approx(expected.confidence_interval.high, abs=0.15 * spread)
    assert mean_interval(values) == found


def test_a_constant_map_agrees_with_none() -> None:
    maps = drawn_maps(13)
    flat = maps.copy()
    flat[0] = 2.5
    assert not pearson_of_maps(flat, maps)[0].any()


def masks_at(place: tuple[slice, slice], count: int, side: int = 50) -> list[np.ndarray]:
    mask = np.zeros((side, side), bool)
    mask[place] = True
    return [mask] * count


def test_pointing_and_energy_of_constructed_maps() -> None:
    inside, outside = np.full((5, 5), -1.0, np.float32), np.full((5, 5), -1.0, np.float32)
    inside[1, 3], outside[4, 0] = 4.0, 4.0
    masks = masks_at((slice(0, 30), slice(20, 50)), 2)
    found = mask_agreement(np.stack([inside, outside]), masks)
    assert (found.videos, found.pointing_game) == (2, 0.5)
    assert found.energy_inside == pytest.approx(0.5, abs=0.01)
    assert found.area == pytest.approx(0.36)


def test_energy_is_counted_where_the_contributions_are() -> None:
    """A ramp, whose share of the right half is a known integral."""
    ramp = np.broadcast_to(np.linspace(0, 1, 200, dtype=np.float32), (200, 200))
    found = mask_agreement(ramp[None], masks_at((slice(None), slice(100, 200)), 1, side=200))
    assert found.energy_inside == pytest.approx(0.75, abs=0.01)
    assert found.pointing_game == 1.0


def test_maps_without_aim_reach_the_area() -> None:
    maps = np.abs(drawn_maps(14, 300, 5))
    found = mask_agreement(maps, masks_at((slice(0, 25), slice(0, 40)), 300))
    assert found.area == pytest.approx(0.4)
    assert found.energy_inside == pytest.approx(0.4, abs=0.03)
    assert found.pointing_game == pytest.approx(0.4, abs=0.15)


def test_a_map_without_positive_contribution_has_none_inside() -> None:
    maps = np.full((1, 3, 3), -1, np.float32)
    assert mask_agreement(maps, masks_at((slice(None), slice(None)), 1)).energy_inside == 0


def test_masks_are_compared_for_the_images_that_have_one() -> None:
    maps = drawn_maps(15, 4)
    masks = [None, *masks_at((slice(0, 20), slice(0, 20)), 2), None]
    agreement = agreement_of_maps(maps, maps + 1, masks)
    assert agreement.masks == mask_agreement((maps + 1)[1:3], masks[1:3])  # type: ignore[arg-type]
    assert agreement.dense_masks == mask_agreement(maps[1:3], masks[1:3])  # type: ignore[arg-type]


@pytest.mark.parametrize(("one", "other"), [((3, 5, 5), (3, 4, 4)), ((3, 5, 5), (2, 5, 5)), ((1, 5, 5), (1, 5, 5))])
def test_maps_that_cannot_be_compared_are_refused(one: tuple[int, ...], other: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match=r"expected both \(N, h, w\)"):
        agreement_of_maps(np.ones(one, np.float32), np.ones(other, np.float32))


def test_a_mask_per_map_is_expected() -> None:
    with pytest.raises(DataError, match="2 maps and 1 masks"):
        mask_agreement(drawn_maps(16, 2), masks_at((slice(None), slice(None)), 1))


@pytest.mark.parametrize("seed", [17, FRESH])
def test_the_sample_is_balanced_repeatable_and_blind_to_the_order(seed: int) -> None:
    samples = samples_named(fake=90, real=40)
    chosen = agreement_sample(samples)
    assert [sum(s.is_fake for s in chosen), len(chosen)] == [32, 64]
    assert all(sample.path.name == "000.jpg" for sample in chosen)
    assert len({sample.video for sample in chosen}) == 64
    shuffled = [samples[i] for i in np.random.default_rng(seed).permutation(len(samples))]
    assert agreement_sample(shuffled) == chosen
    few = agreement_sample(samples_named(fake=50, real=7))
    assert [sum(s.is_fake for s in few), len(few)] == [32, 39]


def test_the_sample_is_spread_over_the_videos() -> None:
    """Names sort by person; the chosen ones are not the first of them."""
    chosen = [int(s.video_name[2:5]) for s in agreement_sample(samples_named(fake=400, real=400)) if s.is_fake]
    assert stats.kstest(np.array(chosen) / 400, "uniform").pvalue > 0.001


def test_a_frame_that_does_not_decode_gives_way_to_the_next() -> None:
    samples = [s for s in samples_named(fake=3, real=3) if not (s.is_fake and s.path.name == "000.jpg")]
    assert {s.path.name for s in agreement_sample(samples) if s.is_fake} == {"001.jpg"}
