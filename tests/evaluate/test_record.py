from __future__ import annotations

import copy
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from evaluate.comparison import compared_variants, insights_from_record
from evaluate.metrics import ConfusionCounts
from evaluate.record import ReportRecord, ReportSample, read_record, write_record
from evaluate.selection import Outcome
from export.errors import ArtifactError
from tests.evaluate.int8_reference import int8_reference_record
from tests.evaluate.latency_reference import latency_reference_record
from tests.evaluate.reference import reference_record

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.mark.parametrize("simulated", [True, False])
def test_a_record_reads_back_equal_and_writes_the_same_bytes(tmp_path: Path, simulated: bool) -> None:
    record = reference_record(simulated)
    write_record(tmp_path / "a.json", record)
    read_back = read_record(tmp_path / "a.json")
    write_record(tmp_path / "b.json", read_back)
    assert read_back == record
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_what_int8_measured_reads_back_equal(tmp_path: Path) -> None:
    record = int8_reference_record()
    write_record(tmp_path / "r.json", record)
    assert read_record(tmp_path / "r.json") == record
    assert [variant.int8 is not None for variant in record.variants] == [False] * 4 + [True] * 3


def test_what_was_timed_reads_back_equal(tmp_path: Path) -> None:
    record = latency_reference_record()
    write_record(tmp_path / "r.json", record)
    assert read_record(tmp_path / "r.json") == record
    assert [len(variant.latency) for variant in record.variants] == [2, 2, 0, 1, 2, 1]


def test_absent_parts_read_back_as_none(tmp_path: Path) -> None:
    record = reference_record()
    bare = replace(record.variants[1], comparison=None, samples={Outcome.TRUE_NEGATIVE: (ReportSample("a", 0.1),)})
    record = replace(record, calibration=None, heatmap_limit=None, variants=(bare,), warnings=())
    write_record(tmp_path / "r.json", record)
    assert read_record(tmp_path / "r.json") == record


def test_the_json_is_readable_without_this_program() -> None:
    plain = json.loads(json.dumps(reference_record().to_json()))
    q8 = next(variant for variant in plain["variants"] if variant["name"] == "q8")
    assert q8["confusion"] == {"tp": 339, "tn": 2, "fp": 176, "fn": 1}
    assert q8["comparison"]["status"] == "Degraded"
    assert q8["samples"]["false_negatives"][0]["sample"] == "id10_id11_0001.mp4"
    assert plain["schema_version"] == 6


def set_in(*keys: Any, value: object) -> Callable[[dict[str, Any]], None]:
    def change(plain: dict[str, Any]) -> None:
        place: Any = plain
        for key in keys[:-1]:
            place = place[key]
        place[keys[-1]] = value

    return change


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (set_in("schema_version", value=99), "schema_version 99; expected 6"),
        (set_in("threshold", value="0.5"), r"ReportRecord\.threshold is '0\.5'; expected float"),
        (set_in("threshold", value=float("nan")), "threshold is 'nan'; expected a finite number"),
        (set_in("comment", value=1), r"unknown keys \['comment'\]"),
        (lambda plain: plain["dataset"].pop("frames"), r"ReportRecord\.dataset.*missing keys \['frames'\]"),
        (set_in("variants", 2, "precision", value="INT4"), r"variants\[2\]\.precision is 'INT4'"),
        (set_in("variants", 0, "confusion", "tp", value=True), r"confusion\.tp is 'True'; expected int"),
        (set_in("variants", 0, "confusion", "tp", value=1.5), r"confusion\.tp is '1\.5'; expected int"),
        (set_in("variants", 0, "samples", "maybe", value=[]), "samples is 'maybe'; expected one of"),
        (set_in("variants", value={}), "variants is '{}'; expected a list"),
        (set_in("environment", value=[]), "environment is .*expected an object"),
    ],
)
def test_a_damaged_record_is_refused_with_the_place(damage: Callable[[dict[str, Any]], None], message: str) -> None:
    plain = copy.deepcopy(json.loads(json.dumps(reference_record().to_json())))
    damage(plain)
    with pytest.raises(ArtifactError, match=message) as caught:
        ReportRecord.from_json(plain)
    assert "\n" not in str(caught.value)


def test_something_that_is_no_object_is_refused() -> None:
    with pytest.raises(ArtifactError, match="schema_version None"):
        ReportRecord.from_json([1])


def test_reduction_and_diff_are_relative_to_the_baseline() -> None:
    record = reference_record()
    for variant in record.variants:
        assert variant.comparison is not None
        assert record.baseline is not None
        assert variant.size_bytes == pytest.approx((1 - variant.comparison.reduction) * record.baseline.size_bytes)
        assert variant.auc == pytest.approx(record.baseline.auc + variant.comparison.auc_diff)


@pytest.mark.parametrize(("drop", "status"), [(0.0099, "Stable"), (0.0101, "Degraded"), (-0.2, "Stable")])
def test_a_variant_is_degraded_when_it_loses_more_than_the_tolerance(drop: float, status: str) -> None:
    baseline, q16 = reference_record().variants[:2]
    variants = compared_variants([replace(q16, auc=baseline.auc - drop), baseline], stable_auc_drop=0.01)
    assert [v.comparison.status for v in variants if v.comparison] == [status, "Baseline"]


def test_without_a_baseline_nothing_is_compared() -> None:
    variants = compared_variants(reference_record().variants[1:])
    assert [variant.comparison for variant in variants] == [None] * 5


def test_insights_name_the_variants_that_the_reference_report_names() -> None:
    insights = insights_from_record(reference_record())
    assert insights.highest_auc is not None
    assert insights.highest_auc.name == "baseline"
    assert insights.best_compression is not None
    assert insights.best_compression.name == "q16"
    assert insights.largest_drop is not None
    assert insights.largest_drop.name == "q8-p50"


def test_best_compression_is_the_smallest_stable_file_and_then_the_better_auc() -> None:
    record = reference_record()
    tied = tuple(
        replace(v, auc=0.951 + 0.001 * index, size_bytes=5 if index > 2 else v.size_bytes)
        for index, v in enumerate(record.variants)
    )
    insights = insights_from_record(replace(record, variants=compared_variants(tied)))
    assert insights.best_compression is not None
    assert insights.best_compression.name == "q8-p50"
    assert insights.largest_drop is None


def test_confusion_of_no_samples_has_ratios_of_zero() -> None:
    empty = ConfusionCounts(0, 0, 0, 0)
    assert (empty.precision, empty.recall, empty.f1, empty.accuracy, empty.false_positive_rate) == (0, 0, 0, 0, 0)
