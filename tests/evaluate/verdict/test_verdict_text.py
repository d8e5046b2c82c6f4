from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING

import pytest

from evaluate.page.page_warnings import page_warnings
from evaluate.sections.verdict_section import verdict_section_lines
from evaluate.verdict.limit_text import limit_bound, limit_name, limit_value
from evaluate.verdict.limits import Limits, LimitsFile
from evaluate.verdict.verdict import Finding, VariantVerdict, Verdict
from evaluate.verdict.verdict_text import (
    decision_threshold_sentence,
    domination_notes,
    grade_meanings,
    main_reason,
    pass_caveat,
    relaxed_limits,
    run_grade_text,
    smallest_passing,
    verdict_sentence,
)
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
    assert main_reason(VariantVerdict("q8", "PASS", findings[:1])) == "1 limit waived: Flipped decisions"
    both = (findings[0], replace(findings[1], waived="as agreed"))
    assert main_reason(VariantVerdict("q8", "PASS", both)) == "2 limits waived: Flipped decisions, Size"


def test_a_pass_tells_of_simulation_and_waivers() -> None:
    finding = Finding("max_flips", 0.1, 0.2, None, "FAIL", "", waived="as agreed")
    plain = VariantVerdict("q8", "PASS", ())
    simulated, waived = replace(plain, simulation="by a CPU"), replace(plain, findings=(finding,))
    assert [pass_caveat(entry) for entry in (plain, simulated, waived, replace(simulated, findings=(finding,)))] == [
        "",
        " (by simulated scores)",
        " (with a waiver)",
        " (by simulated scores, with a waiver)",
    ]
    verdict = replace(with_grades(), variants=(plain, simulated, waived), grade="PASS")
    assert verdict_sentence(verdict) == "3 of 3 candidates pass (1 by simulated scores, 1 with a waiver)."
    assert run_grade_text(verdict) == "PASS (simulated)"
    assert run_grade_text(replace(verdict, variants=(plain, waived))) == "PASS"
    assert run_grade_text(replace(verdict, variants=(plain, replace(simulated, is_candidate=False)))) == "PASS"
    assert run_grade_text(replace(verdict, grade="FAIL")) == "FAIL"


def test_weaker_limits_of_a_variant_are_named() -> None:
    own = Limits(max_flips=0.1, min_auc=0.95, max_auc_drop=0.001, max_size_mib=20.0, max_latency_ms=5.0)
    common = Limits(max_flips=0.05, min_auc=0.96, max_auc_drop=0.01, max_size_mib=20.0)
    verdict = replace(with_grades(), limits=LimitsFile(common=common, of_variant={"q8": own}))
    assert relaxed_limits(verdict, "q8") == ["min_auc relaxed to 0.95", "max_flips relaxed to 10%"]
    assert relaxed_limits(verdict, "q16") == []


def test_domination_says_what_was_compared() -> None:
    record = page_record()
    notes = domination_notes(record, page_verdict(record))
    assert set(notes) == {"q16-p50", "q32-p50", "q8-p50"}
    for variant in record.variants:
        if variant.name in notes:
            assert notes[variant.name].startswith(f"{variant.name} is ")
            assert ("latency was not compared" in notes[variant.name]) == (not variant.latency)


def test_grades_that_do_not_explain_themselves_are_explained_where_they_occur() -> None:
    def first_words(verdict: Verdict) -> list[str]:
        return [meaning.partition(":")[0] for meaning in grade_meanings(verdict)]

    undecided = with_grades("PASS", "INCONCLUSIVE")
    assert first_words(with_grades("PASS", "FAIL")) == []
    assert first_words(undecided) == ["INCONCLUSIVE"]
    simulated = [replace(entry, simulation="a CPU" if entry.grade == "PASS" else "") for entry in undecided.variants]
    assert first_words(replace(undecided, variants=tuple(simulated))) == ["INCONCLUSIVE", "PASS (simulated)"]
    reference = replace(with_grades("PASS").variants[0], grade="INCONCLUSIVE")
    assert first_words(replace(undecided, variants=(reference,))) == []


def test_threshold_of_the_graded_decisions_is_named() -> None:
    record = page_record()
    first = record.variants[0].statistics
    assert first
    frozen = first.at("frozen")
    assert frozen
    said = decision_threshold_sentence(record, page_verdict(record))
    told = (
        f"Decisions were graded at the threshold {frozen.threshold:.4f}, frozen on the baseline; deploy with that one"
    )
    assert said == f"{told}: no limit was checked at the refitted thresholds."
    assert said in verdict_section_lines(record, page_verdict(record))
    sizes = LimitsFile(common=Limits(max_size_mib=60.0))
    assert decision_threshold_sentence(record, page_verdict(record, sizes)) == ""
    points = [v.statistics.operating_points for v in record.variants if v.statistics]
    variants = tuple(
        replace(v, statistics=replace(v.statistics, operating_points=kept[:1]))
        for v, kept in zip(record.variants, points, strict=True)
        if v.statistics
    )
    said = decision_threshold_sentence(replace(record, variants=variants), page_verdict(record))
    assert said == "Decisions were graded at the threshold 0.5000, because none was fitted; deploy with that one."


def test_every_limit_has_a_name_and_a_unit() -> None:
    for limit in fields(Limits):
        assert limit_name(limit.name) != limit.name
        assert limit_bound(limit.name, 0.5).startswith("≥" if limit.name.startswith("min") else "≤")
    assert limit_bound("max_flips", 0.0004) == "≤ 0.04%"
    assert limit_bound("max_false_alarms", 0.07) == "≤ 7%"
    assert limit_bound("min_auc", 0.98765) == "≥ 0.98765"
    assert limit_bound("max_size_mib", 60.0) == "≤ 60 MiB"
    assert limit_bound("max_latency_ms", 12345.678) == "≤ 12345.678 ms"
    assert limit_value("max_flips", 0.125) == "12.5%"
    assert limit_value("max_relative_auc_drop", 0.00123) == "0.12%"
    assert limit_value("max_error_growth", -0.00001) == "0.00%"
    assert limit_value("max_latency_ms", 8.0) == "8.000 ms"
    assert limit_value("max_size_mib", None) == "–"
    assert limit_bound("new_limit", 3.0) == "≤ 3"
    assert limit_name("new_limit") == "new_limit"


def test_warnings_tell_of_simulations_by_name() -> None:
    warnings = page_warnings(page_record())
    assert warnings[:2] == ("q8w: simulated: INT8 is simulated by ONNX Runtime on the CPU", "6 images did not decode")
    assert any("compute time varies" in warning for warning in warnings)
