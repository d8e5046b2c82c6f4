"""Intervals and verdicts over many simulated test sets: how often they hold the truth, and how often they are wrong.

A bound of the counts is a binomial quantile that right code misses once in a million runs.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom, norm

from evaluate.statistics.auc_interval import auc_differences, auc_estimates
from evaluate.statistics.delong import placements
from evaluate.statistics.labelled_scores import labelled_scores
from evaluate.statistics.noninferiority import noninferiority_of_all
from tests.evaluate.statistics.drawn_scores import FRESH
from tests.evaluate.statistics.persons import Persons

pytestmark = pytest.mark.slow

SETS = 800
REPLICATES = 200
# As many as Celeb-DF-v2's test set has; a dozen persons; persons whose fakes are much alike, beside other reals.
POPULATIONS = {
    "celeb": Persons(40, fakes=8, reals=3, others=70, distance=2.4, shared=0.3, noise=0.2, noise_shared=0.3),
    "dozen": Persons(12, fakes=4, reals=2, others=10, distance=2.4, shared=0.3, noise=0.3, noise_shared=0.3),
    "alike": Persons(40, fakes=8, reals=0, others=90, distance=1.8, shared=0.85, noise=0.4, noise_shared=0.6),
}


def fewest(share: float) -> int:
    return int(binom.ppf(1e-6, SETS, share))


def most(share: float) -> int:
    return int(binom.isf(1e-6, SETS, share))


@pytest.mark.parametrize("seed", [FRESH])
@pytest.mark.parametrize("name", POPULATIONS)
def test_quoted_intervals_hold_the_truth(name: str, seed: int) -> None:
    persons, rng = POPULATIONS[name], np.random.default_rng(seed)
    is_fake, clusters, (auc, of_variant) = persons.is_fake, persons.clusters, persons.aucs
    below, above, differences, by_delong = 0, 0, 0, 0
    for index in range(SETS):
        scores = persons.drawn(rng)
        (estimate,) = auc_estimates(is_fake, scores[:1], clusters, replicates=REPLICATES, seed=index)
        (difference,) = auc_differences(is_fake, scores[1:], scores[0], clusters, replicates=REPLICATES, seed=index)
        below += auc < estimate.quoted.low
        above += auc > estimate.quoted.high
        differences += difference.quoted.low <= of_variant - auc <= difference.quoted.high
        by_delong += estimate.delong.low <= auc <= estimate.delong.high
    assert SETS - below - above >= fewest(0.93)
    assert max(below, above) <= most(0.045)
    assert differences >= fewest(0.93)
    if name == "alike":
        # Without clusters the interval would be too narrow, and this test would tell.
        assert by_delong < fewest(0.93)


@pytest.mark.parametrize("seed", [FRESH])
def test_near_one_the_logits_scale_covers_more(seed: int) -> None:
    rng, is_fake, distance = np.random.default_rng(seed), np.arange(518) < 340, 2**0.5 * norm.ppf(0.998)
    names = [str(video) for video in range(518)]
    held, held_symmetric, too_high, too_low = 0, 0, 0, 0
    for index in range(SETS):
        scores = rng.normal(distance * is_fake, 1)[np.newaxis]
        (estimate,) = auc_estimates(is_fake, scores, names, replicates=100, seed=index)
        half = norm.ppf(0.975) * placements(labelled_scores(is_fake, scores)).covariance[0, 0] ** 0.5
        held += estimate.delong.low <= 0.998 <= estimate.delong.high
        held_symmetric += abs(estimate.value - 0.998) <= half
        too_high += estimate.value - half > 0.998
        too_low += estimate.value + half < 0.998
    assert held >= fewest(0.89)
    assert held_symmetric < held
    assert too_high > 5 * too_low


@pytest.mark.parametrize("seed", [FRESH])
@pytest.mark.parametrize("name", POPULATIONS)
def test_losses_of_just_the_margin_are_seldom_decided(name: str, seed: int) -> None:
    """Four variants lose exactly the margin: that one of them passes, or one fails, is an error in one of twenty."""
    persons, rng = POPULATIONS[name], np.random.default_rng(seed)
    is_fake, clusters, (auc, of_variant) = persons.is_fake, persons.clusters, persons.aucs
    passed, failed = 0, 0
    for index in range(SETS):
        baseline, *rows = persons.drawn(rng, 4)
        margins = [auc - of_variant] * 4
        verdicts = noninferiority_of_all(
            is_fake, np.stack(rows), baseline, clusters, margins, replicates=REPLICATES, seed=index
        )
        grades = [verdict.grade for verdict in verdicts]
        passed += "PASS" in grades
        failed += "FAIL" in grades
    assert passed <= most(0.06)
    assert failed <= most(0.06)
