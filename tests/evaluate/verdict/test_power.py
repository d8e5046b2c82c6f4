"""The number of videos that would decide decides, when that many are drawn."""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy.stats import binom

from evaluate.aggregation import scores_from_logits
from evaluate.statistics.clustered_count import clustered_count, independent_count
from evaluate.statistics.proportion import proportion_bounds
from evaluate.verdict.auc_grading import auc_drop_findings, min_auc_findings
from evaluate.verdict.evidence import Evidence
from evaluate.verdict.grade_text import rounded_up
from evaluate.verdict.share_grading import clustered_videos_that_decide, videos_that_decide
from tests.evaluate.verdict.planted import Drawn

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evaluate.statistics.clustered_count import ClusteredCount
    from evaluate.verdict.verdict import Finding

FRESH = pytest.param(secrets.randbelow(1 << 32), id="fresh")
DRAWS = 12


def chance_to_decide(videos: int, share: float, allowed: float, confidence: float) -> float:
    """Returns the chance that the bounds of a drawn count lie on one side of the limit: exact, over all counts."""
    counts = np.arange(videos + 1)
    bounds = [proportion_bounds(independent_count(int(count), videos), confidence) for count in counts]
    decides = [bound.high <= allowed or bound.low > allowed for bound in bounds]
    return float(binom.pmf(counts, videos, share)[decides].sum())


@pytest.mark.parametrize("share", [0.0, 0.004, 0.01, 0.015, 0.03, 0.05, 0.2, 0.9, 1.0])
@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_as_many_videos_as_are_asked_for_decide_four_times_in_five(share: float, confidence: float) -> None:
    allowed = 0.02
    needed = videos_that_decide(share, allowed, confidence)
    assert needed is not None
    assert chance_to_decide(needed, share, allowed, confidence) >= 0.8
    assert needed == 1 or chance_to_decide(needed // 2, share, allowed, confidence) < 0.8


def test_no_number_decides_at_the_limit_itself_nor_next_to_it() -> None:
    assert videos_that_decide(0.02, 0.02, 0.95) is None
    assert videos_that_decide(0.02 + 1e-7, 0.02, 0.95) is None
    assert videos_that_decide(0.0, 0.0, 0.95) is None


@pytest.mark.parametrize(
    ("number", "rounded"), [(0.5, 1), (9.2, 10), (99, 99), (100.5, 110), (1873, 1900), (2e6, 2000000)]
)
def test_numbers_of_videos_are_rounded_up_to_two_digits(number: float, rounded: int) -> None:
    assert rounded_up(number) == rounded


@pytest.mark.parametrize("seed", [0, FRESH])
@pytest.mark.parametrize("limit", ["max_auc_drop", "min_auc"])
def test_a_small_set_is_inconclusive_and_one_of_the_size_it_asks_for_mostly_is_not(limit: str, seed: int) -> None:
    """What is drawn comes from the small set itself, so that what was measured there is the truth."""
    rng = np.random.default_rng(seed)
    drawn = Drawn(rng, 90, validation=0)
    drawn.add_noisy("q16", 10.0)
    small = evidence_of(drawn, np.arange(90))
    # Bounds shrink with the root of the number: half a bound's distance takes some four times as many videos, or more.
    exact = finding_of(small, limit, 0.5)
    assert exact.measured is not None
    assert exact.bound is not None
    allowed = exact.measured + 0.5 * (exact.bound - exact.measured)
    if limit == "max_auc_drop" and allowed <= 0:
        pytest.skip("by chance the noise did good beyond doubt")
    finding = finding_of(small, limit, allowed)
    assert finding.grade == "INCONCLUSIVE"
    number = re.search(r"evaluate about ([\d,]+) videos", finding.next_step)
    assert number is not None
    needed = int(number[1].replace(",", ""))
    assert 180 < needed < 3000
    grades = [finding_of(evidence_of(drawn, taken(drawn, needed, rng)), limit, allowed).grade for _ in range(DRAWS)]
    # Of twelve draws at 80 %, fewer than four decide once in ten thousand times.
    assert grades.count("PASS") >= (8 if seed == 0 else 4), (seed, grades)


def evidence_of(drawn: Drawn, videos: NDArray[np.int64]) -> Evidence:
    """Returns these videos of the set, each a person of its own: what is drawn twice is not the same one twice."""
    scores = {name: scores_from_logits(logits[videos]) for name, (logits, _) in drawn.engines.items()}
    return Evidence(drawn.is_fake[videos], tuple(map(str, range(len(videos)))), scores, 0.95)


def finding_of(evidence: Evidence, limit: str, allowed: float) -> Finding:
    if limit == "min_auc":
        return min_auc_findings(evidence, {"q16": allowed})["q16"]
    return auc_drop_findings(evidence, limit, {"q16": allowed})["q16"]


def taken(drawn: Drawn, videos: int, rng: np.random.Generator) -> NDArray[np.int64]:
    fakes, reals = np.flatnonzero(drawn.is_fake), np.flatnonzero(~drawn.is_fake)
    count = 2 * videos // 3
    return np.r_[rng.choice(fakes, count), rng.choice(reals, videos - count)]


def count_of_persons(shown: NDArray[np.bool_]) -> ClusteredCount:
    """Counts videos of persons, eight of each, which all show the event if one does."""
    numbers = np.repeat(np.arange(shown.size), 8)
    return clustered_count(shown[numbers], -shown[numbers].astype(float), numbers)


@pytest.mark.parametrize("seed", [0, FRESH])
@pytest.mark.parametrize(("share", "allowed"), [(0.1, 0.15), (0.1, 0.06)])
def test_as_many_videos_of_persons_as_are_asked_for_mostly_decide(share: float, allowed: float, seed: int) -> None:
    """Persons of eight videos that are all alike decide as seldom as single videos, so that eight times as many do."""
    rng = np.random.default_rng(seed)
    counted = count_of_persons(np.arange(60) < round(60 * share))
    needed = clustered_videos_that_decide(counted, allowed, 0.95)
    assert needed is not None
    assert needed == pytest.approx(8 * (videos_that_decide(share, allowed, 0.95) or 0), rel=0.1)
    persons = round(needed / 8)
    decided = 0
    for _ in range(100):
        bounds = proportion_bounds(count_of_persons(rng.random(persons) < share), 0.95)
        decided += bounds.high <= allowed if share < allowed else bounds.low > allowed
    assert decided >= 60


def test_none_of_few_persons_needs_more_persons_and_independent_videos_need_what_they_did() -> None:
    numbers, apart = np.repeat(np.arange(50), 10), np.tile(np.arange(10.0), 50)
    # By the rule of three, 149 persons, and somewhat more because so few show how much their videos differ.
    needed = clustered_videos_that_decide(clustered_count(numbers < 0, numbers.astype(float), numbers), 0.02, 0.95)
    assert needed is not None
    assert 1490 < needed < 1.1 * 1490
    # Persons whose videos are as different as those of others count by their videos.
    needed = clustered_videos_that_decide(clustered_count(numbers < 0, apart, numbers), 0.02, 0.95)
    assert needed is not None
    assert 149 < needed < 1.1 * 149
    one = clustered_count(np.arange(500) == 17, numbers.astype(float), numbers)
    assert (clustered_videos_that_decide(one, 0.02, 0.95) or 0) > 1490
    alone = independent_count(3, 60)
    assert clustered_videos_that_decide(alone, 0.02, 0.95) == videos_that_decide(0.05, 0.02, 0.95)
