from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from evaluate.page.difference_scale import DifferenceScale
from evaluate.page.variant_row import variant_table
from evaluate.verdict.limits import Limits, LimitsFile
from tests.evaluate.page.page_reference import labels_of, page_record, page_verdict, scores_of
from tests.evaluate.reference import reference_record

if TYPE_CHECKING:
    from evaluate.record import ReportRecord


def small_record() -> ReportRecord:
    return page_record(40, 40, variants=4)


def test_false_alarms_are_counted_at_the_frozen_threshold() -> None:
    record = small_record()
    table = variant_table(record, None)
    assert table.origin == "frozen"
    for row in table.rows:
        reals = scores_of(record, row.variant.name)[~labels_of(record)]
        assert row.false_alarms == pytest.approx((reals >= table.threshold).mean())


def test_without_a_frozen_threshold_for_all_the_default_one_is_taken() -> None:
    record = small_record()
    first, *others = record.variants
    assert first.statistics
    kept = tuple(point for point in first.statistics.operating_points if point.origin != "frozen")
    changed = replace(first, statistics=replace(first.statistics, operating_points=kept))
    table = variant_table(replace(record, variants=(changed, *others)), None)
    assert (table.origin, table.threshold) == ("default", 0.5)
    assert [row.false_alarms for row in table.rows] == [v.confusion.false_positive_rate for v in record.variants]
    assert variant_table(reference_record(), None).origin == "default"


def test_margin_is_the_limit_of_each_variant() -> None:
    record = small_record()
    limits = LimitsFile(common=Limits(max_auc_drop=0.02), of_variant={"q16-p50": Limits(max_auc_drop=0.005)})
    rows = variant_table(record, page_verdict(record, limits)).rows
    assert [row.margin for row in rows] == [None, 0.02, 0.005, 0.02]
    assert [row.margin for row in variant_table(record, None).rows] == [None, 0.01, 0.01, 0.01]


def test_only_candidates_rank_by_grade() -> None:
    record = small_record()
    rows = variant_table(record, page_verdict(record)).rows
    assert rows[0].severity is None
    assert all(row.severity is not None for row in rows[1:])
    assert all(row.severity is None for row in variant_table(record, None).rows)


def test_scale_shows_zero_every_margin_and_each_interval_that_is_near() -> None:
    table = variant_table(page_record(), None)
    scale = table.scale
    assert scale
    assert 0 < scale.at(-0.01) < scale.at(0.0) < 100
    for row in table.rows[1:]:
        assert row.variant.statistics
        assert row.variant.statistics.difference
        interval = row.variant.statistics.difference.quoted
        assert (scale.at(interval.low) > 0) == (interval.low >= -0.04)
    assert variant_table(reference_record(), None).scale is None


def test_scale_is_linear_and_cut_at_its_ends() -> None:
    scale = DifferenceScale(-0.03, 0.01)
    assert [scale.at(value) for value in (-1.0, -0.03, -0.01, 0.0, 0.01, 1.0)] == [0.0, 0.0, 50.0, 75.0, 100.0, 100.0]
