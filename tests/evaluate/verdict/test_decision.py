from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from evaluate.facts import CalibrationFacts
from evaluate.verdict.decision import graded, signed, waived, waiver_from_text
from evaluate.verdict.limits import Limits, LimitsFile
from evaluate.verdict.verdict import read_verdict, worst_grade, write_verdict
from evaluate.verdict.verdict_lines import exit_code, finding_lines, verdict_lines
from export.errors import ArtifactError, DataError
from tests.evaluate.verdict.planted import Drawn

if TYPE_CHECKING:
    from pathlib import Path

    from evaluate.record import ReportRecord
    from evaluate.verdict.verdict import Verdict

LIMITS = LimitsFile(Limits(max_size_mib=30.0, max_flips=0.02), {"q8": Limits(max_size_mib=20.0)}, confidence=0.9)


@pytest.fixture(scope="module")
def record() -> ReportRecord:
    drawn = Drawn(np.random.default_rng(0), 200, validation=0)
    drawn.add_identical("q16")
    drawn.add_shifted("q8", 3.0)
    return drawn.record()


@pytest.fixture(scope="module")
def verdict(record: ReportRecord) -> Verdict:
    return graded(record, LIMITS, "12" * 32)


def test_the_worst_grade_counts() -> None:
    assert worst_grade([]) == "PASS"
    assert worst_grade(["PASS", "INCONCLUSIVE", "PASS"]) == "INCONCLUSIVE"
    assert worst_grade(["INCONCLUSIVE", "FAIL", "PASS"]) == "FAIL"


def test_a_verdict_reads_back_equal_and_writes_the_same_bytes(tmp_path: Path, verdict: Verdict) -> None:
    decided = signed(waived(verdict, {("q8", "max_flips"): "agreed"}), "Ada", "until the next training")
    write_verdict(tmp_path / "a.json", decided)
    read_back = read_verdict(tmp_path / "a.json")
    write_verdict(tmp_path / "b.json", read_back)
    assert read_back == decided
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ({"schema_version": 9}, "schema_version 9; expected 1: delete it"),
        ({"grade": "OK"}, r"Verdict\.grade is 'OK'; expected one of"),
        ({"more": 1}, r"unknown keys \['more'\]"),
        ({"variants": 3}, r"Verdict\.variants is '3'; expected a list"),
    ],
)
def test_a_damaged_verdict_is_refused(tmp_path: Path, verdict: Verdict, damage: dict[str, Any], message: str) -> None:
    write_verdict(tmp_path / "v.json", verdict)
    stored = json.loads((tmp_path / "v.json").read_text())
    (tmp_path / "v.json").write_text(json.dumps({**stored, **damage}))
    with pytest.raises(ArtifactError, match=message):
        read_verdict(tmp_path / "v.json")


def test_lines_name_what_is_missed_and_the_last_one_is_about_the_run(verdict: Verdict) -> None:
    assert verdict_lines(verdict) == [
        "VERDICT baseline FAIL max_size_mib=108.80>30.00 (not a candidate)",
        "VERDICT q16 FAIL max_size_mib=54.60>30.00",
        f"VERDICT q8 FAIL max_size_mib=27.80>20.00 max_flips={verdict.variants[2].findings[1].measured:.4f}>0.0200",
        "VERDICT run FAIL",
    ]
    assert exit_code(verdict) == 3
    assert all(line.startswith(("baseline ", "q16 ", "q8 ", "  next: ")) for line in finding_lines(verdict))


def test_a_waived_limit_no_longer_decides_but_stays_visible(verdict: Verdict) -> None:
    waivers = {("q16", "max_size_mib"): "fits", ("q8", "max_size_mib"): "fits, too", ("q8", "max_flips"): "as agreed"}
    one = waived(verdict, dict(list(waivers.items())[:2]))
    assert [entry.grade for entry in one.variants] == ["FAIL", "PASS", "FAIL"]
    everything = waived(one, dict(list(waivers.items())[2:]))
    assert [entry.grade for entry in everything.variants] == ["FAIL", "PASS", "PASS"]
    assert (everything.grade, exit_code(everything)) == ("PASS", 0)
    assert verdict_lines(everything)[1] == "VERDICT q16 PASS max_size_mib=54.60>30.00[waived]"
    assert everything.variants[2].findings[1].grade == "FAIL"
    assert "  waived: as agreed" in finding_lines(everything)
    assert graded_again(verdict) == verdict.variants


def graded_again(verdict: Verdict) -> object:
    return waived(verdict, {}).variants


@pytest.mark.parametrize(
    ("key", "reason", "message"),
    [
        (("q8", "max_flips"), " ", "has no reason"),
        (("q16", "max_flips"), "fine", r"nothing to waive at q16\.max_flips: it is PASS"),
        (("q9", "max_flips"), "fine", r"nothing to waive at 'q9\.max_flips'.*did you mean q8\.max_flips\?"),
        (("q8", "min_auc"), "fine", r"nothing to waive at 'q8\.min_auc': that limit was not judged"),
    ],
)
def test_a_waiver_without_a_reason_or_an_effect_is_refused(
    verdict: Verdict, key: tuple[str, str], reason: str, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        waived(verdict, {key: reason})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("q8.max_flips", "expected VARIANT.LIMIT=REASON"),
        ("max_flips=fine", "expected VARIANT.LIMIT=REASON"),
        ("q8.max_flop=fine", r"unknown limit 'max_flop'; did you mean max_flips\?"),
        ("q8.max_flips=  ", "a waiver needs a reason"),
    ],
)
def test_a_waiver_of_the_command_line_is_checked(text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        waiver_from_text(text)
    assert waiver_from_text("q8-p50.max_flips = a = b\n c") == (("q8-p50", "max_flips"), "a = b c")


def test_a_verdict_records_who_signed_and_what_it_rests_on(record: ReportRecord) -> None:
    calibration = CalibrationFacts("data", "34" * 32, 5, 5, 10, "mse")
    verdict = signed(graded(replace(record, calibration=calibration), LIMITS, "56" * 32), " Ada  Lovelace ", "note")
    assert (verdict.decision.signed_by, verdict.decision.note) == ("Ada Lovelace", "note")
    assert verdict.decision.signed_utc.endswith("+00:00")
    assert verdict.report_sha256 == "56" * 32
    assert verdict.digests["checkpoint"] == "ef" * 32
    assert verdict.digests["test set"] == "ab" * 32
    assert verdict.digests["calibration set"] == "34" * 32
    assert set(verdict.digests) >= {"engine of baseline", "engine of q16", "engine of q8"}
    with pytest.raises(DataError, match="expected the name of the person"):
        signed(verdict, " ")
