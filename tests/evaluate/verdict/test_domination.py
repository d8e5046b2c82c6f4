from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from evaluate.verdict.decision import graded
from evaluate.verdict.domination import domination_sentences
from evaluate.verdict.limits import Limits, LimitsFile
from evaluate.verdict.verdict_lines import verdict_lines
from tests.evaluate.latency_reference import cpu_latency, gpu_latency
from tests.evaluate.verdict.planted import MIB, Drawn

if TYPE_CHECKING:
    from evaluate.record import ReportRecord

LIMITS = LimitsFile(Limits(max_auc_drop=0.05))


def dominated(record: ReportRecord) -> dict[str, str]:
    return {entry.variant: entry.dominated_by for entry in graded(record, LIMITS).variants if entry.dominated_by}


def two_engines() -> Drawn:
    """FP16 as good as FP32, and INT8 whose AUC is a little off, up or down, by chance."""
    drawn = Drawn(np.random.default_rng(7))
    drawn.add_noisy("q16", 60)
    drawn.add_noisy("q8", 30)
    return drawn


def test_int8_larger_than_fp16_and_not_better_is_called_out_in_words() -> None:
    record = two_engines().record(q8={"size_bytes": 57 * MIB})
    assert dominated(record) == {"q8": "q16"}
    verdict = graded(record, LIMITS)
    (sentence,) = domination_sentences(record, verdict)
    assert sentence.startswith("q8 is larger than q16 (57.00 against 54.60 MiB) and not better (AUC 0.")
    assert sentence.endswith("(latency was not compared on a GPU): ship q16")
    assert verdict_lines(verdict)[2].endswith(" dominated_by=q16")


def test_int8_that_is_smaller_is_not_dominated() -> None:
    assert dominated(two_engines().record()) == {}


def test_a_difference_by_chance_does_not_make_a_larger_int8_better() -> None:
    """Over many draws its AUC is above FP16's about every other time; it is called dominated nearly every time."""
    rng = np.random.default_rng(3)
    found, above = 0, 0
    for _ in range(20):
        drawn = Drawn(rng, 60, validation=0)
        drawn.add_identical("q16")
        drawn.add_noisy("q8", 25)
        record = drawn.record(q8={"size_bytes": 57 * MIB})
        above += record.variants[2].auc > record.variants[1].auc
        found += dominated(record) == {"q8": "q16"}
    assert above > 3
    assert found >= 17


def test_a_larger_int8_that_is_shown_to_be_better_is_not_dominated() -> None:
    drawn = Drawn(np.random.default_rng(0))
    drawn.add_noisy("q16", 0.0)
    drawn.add_identical("q8")
    assert dominated(drawn.record(q8={"size_bytes": 57 * MIB})) == {}


def test_slower_and_not_smaller_is_dominated_and_says_so() -> None:
    drawn = two_engines()
    changes = {
        "q16": {"latency": (gpu_latency("q8"),)},
        "q8": {"latency": (gpu_latency("q16"),), "size_bytes": round(54.6 * MIB)},
    }
    record = drawn.record(**changes)
    assert dominated(record) == {"q8": "q16"}
    (sentence,) = domination_sentences(record, graded(record, LIMITS))
    assert sentence.startswith("q8 is slower than q16 (3.2")
    assert "not compared" not in sentence


@pytest.mark.parametrize(("fp16", "int8"), [("q16", "q8"), ("baseline", "q16")])
def test_larger_but_faster_is_not_dominated(fp16: str, int8: str) -> None:
    changes = {
        "q16": {"latency": (gpu_latency(fp16),)},
        "q8": {"latency": (gpu_latency(int8),), "size_bytes": 57 * MIB},
    }
    assert dominated(two_engines().record(**changes)) == {}


def test_times_of_a_cpu_do_not_count() -> None:
    changes = {
        "q16": {"latency": (cpu_latency("q8"),)},
        "q8": {"latency": (cpu_latency("q16"),), "size_bytes": 57 * MIB},
    }
    assert dominated(two_engines().record(**changes)) == {"q8": "q16"}


def test_pruning_that_saves_nothing_is_dominated_and_one_that_costs_auc_but_saves_is_not() -> None:
    drawn = Drawn(np.random.default_rng(1))
    drawn.add_identical("q16")
    drawn.add_noisy("q16-p50", 3)
    drawn.add_noisy("q16-s50", 3)
    record = drawn.record(q16_s50={"size_bytes": 27 * MIB})
    found = dominated(record)
    assert found.pop("q16-p50") in ("q16", "q16-s50")
    assert found == {}


def test_without_latency_other_arithmetic_may_be_faster() -> None:
    drawn = Drawn(np.random.default_rng(1))
    drawn.add_noisy("q16", 10)
    drawn.add_identical("q8")
    record = drawn.record()
    assert record.variants[2].auc > record.variants[1].auc
    assert dominated(record) == {}
    timed = drawn.record(q16={"latency": (gpu_latency("q16"),)}, q8={"latency": (gpu_latency("q8"),)})
    assert dominated(timed) == {"q16": "q8"}


def test_a_dominating_variant_that_fails_is_not_to_be_shipped() -> None:
    record = two_engines().record(q8={"size_bytes": 57 * MIB})
    verdict = graded(record, LimitsFile(Limits(max_size_mib=10)))
    assert domination_sentences(record, verdict)[0].endswith("rather go on with q16, which is FAIL")


def test_what_is_no_candidate_is_not_advised() -> None:
    record = two_engines().record(q8={"size_bytes": 57 * MIB})
    for limits in (Limits(max_size_mib=10), Limits(max_size_mib=100)):
        verdict = graded(record, LimitsFile(limits, candidates=("q8",)))
        (sentence,) = domination_sentences(record, verdict)
        assert sentence.endswith("(latency was not compared on a GPU)")


def test_nothing_dominates_its_equal_or_what_it_is_dominated_by() -> None:
    rng = np.random.default_rng(5)
    for _ in range(10):
        drawn = Drawn(rng, 60, validation=0)
        names = ["q16", "q8", "q8w", "q16-s50", "q16-s30"]
        changes = {}
        for name in names:
            drawn.add_noisy(name, float(rng.choice([5, 20, 60])))
            changes[name.replace("-", "_")] = {"size_bytes": int(rng.choice([20, 30, 50])) * MIB}
        found = dominated(drawn.record(**changes))
        assert all(found.get(by) != name for name, by in found.items())
