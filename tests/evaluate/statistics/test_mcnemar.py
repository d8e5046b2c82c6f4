from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.stats import binom, binomtest

from evaluate.statistics.mcnemar import mcnemar_p_value
from tests.evaluate.statistics.drawn_scores import FRESH, SEEDS


@pytest.mark.parametrize("seed", SEEDS)
def test_videos_by_themselves_have_mcnemars_exact_test(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for total in (1, 9, 518, 20_000):
        kind = rng.choice(3, total, p=[0.8, 0.09, 0.11])
        repaired, broken = kind == 1, kind == 2
        flipped = int(np.sum(kind > 0))
        expected = binomtest(int(broken.sum()), flipped).pvalue if flipped else 1.0
        found = mcnemar_p_value(repaired, broken, rng.permutation(total))
        assert found == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_way_to_swap_the_models_by_the_cluster_is_counted(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for clusters in range(1, 11):
        numbers = rng.integers(0, clusters, 6 * clusters) * 3
        kind = rng.choice(3, numbers.size, p=[0.4, 0.25, 0.35])
        leads = [int(np.sum(kind[numbers == n] == 2)) - int(np.sum(kind[numbers == n] == 1)) for n in set(numbers)]
        sums = [sum(s * lead for s, lead in zip(signs, leads, strict=True)) for signs in by_signs(len(leads))]
        expected = np.mean([abs(one) >= abs(sum(leads)) for one in sums])
        assert mcnemar_p_value(kind == 1, kind == 2, numbers) == pytest.approx(expected, abs=1e-12)


def by_signs(count: int) -> itertools.product[tuple[int, ...]]:
    return itertools.product((-1, 1), repeat=count)


def test_no_flips_are_no_evidence() -> None:
    nothing = np.zeros(5, np.bool_)
    assert mcnemar_p_value(nothing, nothing, np.zeros(5, np.int64)) == 1.0


@pytest.mark.parametrize("seed", [FRESH])
def test_equal_models_seldom_differ_even_where_a_person_prefers_one_of_them(seed: int) -> None:
    rng, numbers, sets = np.random.default_rng(seed), np.repeat(np.arange(40), 8), 1000
    by_cluster, by_video = 0, 0
    for _ in range(sets):
        leaning = rng.choice([0.1, 0.9], 40)[numbers]
        flipped = rng.random(320) < 0.2
        broken = flipped & (rng.random(320) < leaning)
        repaired = flipped & ~broken
        by_cluster += mcnemar_p_value(repaired, broken, numbers) <= 0.05
        by_video += mcnemar_p_value(repaired, broken, np.arange(320)) <= 0.05
    assert by_cluster <= binom.isf(1e-6, sets, 0.05)
    assert by_video > binom.isf(1e-6, sets, 0.05)
