from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING

import pytest

from evaluate.page.limit_text import limit_bound, limit_name, limit_value
from evaluate.page.page_warnings import page_warnings
from evaluate.page.verdict_text import main_reason, smallest_passing, verdict_sentence
from evaluate.verdict.limits import Limits
from evaluate.verdict.verdict import Finding, VariantVerdict, Verdict
from tests.evaluate.page.page_reference import page_record, page_verdict

if TYPE_CHECKING:
    from evaluate.statistics.noninferiority import Grade


def with_grades(*grades: Grade) -> Verdict:
    record = page_record()
    verdict = page_verdict(record)
    entries = [VariantVerdict(v.name, "FAIL", (), is_candidate=False) for v in record.variants]
    for index, grade in enumerate(grades):
        entries[index + 1] = replace(entries[index + 1], grade=grade, is_candidate=True)
    return replace(verdict, variants=tuple(entries))


@pytest.mark.parametrize(
    ("grades", "sentence"),
    [
        ((), "No variant was a candidate."),
        (("PASS",), "The only candidate passes."),
        (("INCONCLUSIVE",), "The only candidate is undecided."),
        (("FAIL", "FAIL"), "2 of 2 candidates fail."),
        (("FAIL", "PASS", "INCONCLUSIVE"), "1 of 3 candidates passes, 1 is undecided, 1 fails."),
        (("PASS", "PASS", "FAIL"), "2 of 3 candidates pass, 1 fails."),
    ],
)
def test_sentence_counts_the_candidates(grades: tuple[Grade, ...], sentence: str) -> None:
    assert verdict_sentence(with_grades(*grades)) == sentence


def test_smallest_that_passes_is_neither_failing_nor_dominated() -> None:
    record, verdict = page_record(), with_grades(*["PASS"] * 7)
    smallest = smallest_passing(record, verdict)
    assert smallest
    assert smallest.name == "q16-s50"
    dominated = tuple(replace(e, dominated_by="q8") if e.variant == "q16-s50" else e for e in verdict.variants)
    smallest = smallest_passing(record, replace(verdict, variants=dominated))
    assert smallest
    assert smallest.name == "q8"
    assert smallest_passing(record, with_grades("FAIL", "INCONCLUSIVE")) is None


def test_deciding_limits_are_those_of_the_grade_that_are_not_waived() -> None:
    findings = (
        Finding("max_flips", 0.1, 0.2, None, "FAIL", "", waived="as agreed"),
        Finding("max_size_mib", 1.0, 2.0, None, "FAIL", ""),
        Finding("max_auc_drop", 1.0, 2.0, None, "INCONCLUSIVE", ""),
        Finding("min_auc", 1.0, 2.0, None, "PASS", ""),
    )
    assert main_reason(VariantVerdict("q8", "FAIL", findings)) == "Size"
    assert main_reason(VariantVerdict("q8", "PASS", findings[3:])) == ""


def test_every_limit_has_a_name_and_a_unit() -> None:
    for limit in fields(Limits):
        assert limit_name(limit.name) != limit.name
        assert limit_bound(limit.name, 0.5).startswith("≥" if limit.name.startswith("min") else "≤")
    assert limit_value("max_flips", 0.125) == "12.5%"
    assert limit_value("max_latency_ms", 8.0) == "8.000 ms"
    assert limit_value("max_size_mib", None) == "–"
    assert limit_bound("new_limit", 3.0) == "≤ 3"
    assert limit_name("new_limit") == "new_limit"


def test_warnings_tell_of_simulations_by_name() -> None:
    warnings = page_warnings(page_record())
    assert warnings[:2] == ("6 images did not decode", "q8w: simulated: INT8 is simulated by ONNX Runtime on the CPU")
    assert any("compute time varies" in warning for warning in warnings)
