from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calibration.int8_record import GroupRecord, Int8Record
from evaluate.int8_comparison import (
    EngineSaving,
    arithmetic_shares,
    engine_savings,
    int8_warnings,
    layer_count,
    missed_limits,
    restored_groups,
    sensitivity_of_groups,
)
from evaluate.record import EngineFile, ReportRecord, VariantResult
from tests.evaluate.int8_reference import MISSED, WARNING, b5_record, int8_reference_record, unmeasured
from tests.evaluate.reference import MIB, reference_record

ARITHMETICS = ("int8", "int8-weights", "float")
NUMBER_WORDS = st.sampled_from(
    ["7", "12.5", "-3", "0", "blocks.0.*", "fewer than", "1000", "3.", "v2", "p-50", "1.2.3"]
)
REASONS = st.one_of(
    st.just(""),
    st.lists(NUMBER_WORDS, max_size=4).map(" ".join),
    st.text(alphabet="0159.-* ab", max_size=12),
)


@st.composite
def group_records(draw: st.DrawFn) -> GroupRecord:
    counts = st.integers(0, 10**9)
    sqnr = st.none() | st.floats(-10, 90)
    return GroupRecord(
        name=draw(st.sampled_from(["conv_stem", "blocks.0.0.conv_pw"])),
        role=draw(st.sampled_from(["convolution", "classifier", "new kind"])),
        layers=draw(st.sampled_from([("a",), ("a", "b")])),
        weights=draw(counts),
        macs=draw(counts),
        int8_sqnr_db=draw(sqnr),
        weights_sqnr_db=draw(sqnr),
        restored_sqnr_db=None,
        arithmetic=draw(st.sampled_from(ARITHMETICS)),
        reason=draw(REASONS),
    )


INT8_RECORDS = st.lists(group_records(), max_size=8).map(
    lambda groups: replace(unmeasured(b5_record()), groups=tuple(groups))
)


@given(INT8_RECORDS)
def test_nothing_is_lost_or_counted_twice_by_summing_up(int8: Int8Record) -> None:
    shares = arithmetic_shares(int8)
    for arithmetic in ARITHMETICS:
        mine = [group for group in int8.groups if group.arithmetic == arithmetic]
        summed = [share for share in shares if share.arithmetic == arithmetic]
        assert sum(share.groups for share in summed) == len(mine)
        assert sum(share.weights for share in summed) == sum(group.weights for group in mine)
        assert sum(share.macs for share in summed) == sum(group.macs for group in mine)
        assert sum(share.layers for share in summed) == layer_count(int8, arithmetic)
        widths = {"classifier": 4} if arithmetic == "float" else {}
        default = 2 if arithmetic == "float" else 1
        stored = sum(widths.get(group.role, default) * group.weights for group in mine)
        assert sum(share.weight_bytes for share in summed) == stored


@given(INT8_RECORDS)
def test_the_worst_groups_are_those_that_no_other_group_is_below(int8: Int8Record) -> None:
    sensitivity = sensitivity_of_groups(int8)
    if sensitivity is None:
        assert all(group.int8_sqnr_db is None and group.weights_sqnr_db is None for group in int8.groups)
        return
    worst = sensitivity.worst(3)
    measured = [index for index, sqnr in enumerate(sensitivity.sqnr_db) if sqnr is not None]
    assert len(worst) == min(3, len(measured))
    assert set(worst) <= set(measured)
    assert {*measured, *sensitivity.unmeasured} == set(range(len(int8.groups)))
    others = [sensitivity.sqnr_db[index] for index in measured if index not in worst]
    assert all(sensitivity.sqnr_db[index] <= other for index in worst for other in others)  # type: ignore[operator]


def test_weights_alone_count_where_int8_arithmetic_was_not_an_option() -> None:
    int8 = b5_record()
    sensitivity = sensitivity_of_groups(int8)
    assert sensitivity is not None
    for group, sqnr, weights_only in zip(int8.groups, sensitivity.sqnr_db, sensitivity.weights_only, strict=True):
        wanted = {"convolution": group.int8_sqnr_db, "head": group.int8_sqnr_db}.get(group.role, group.weights_sqnr_db)
        assert sqnr == wanted
        assert weights_only == (group.role in ("stem", "depthwise", "squeeze-excite"))
    assert [int8.groups[index].role for index in sensitivity.unmeasured] == ["classifier"]
    assert sensitivity_of_groups(unmeasured(int8)) is None


def test_restored_groups_come_by_what_they_gain() -> None:
    restored = restored_groups(b5_record())
    names = {group.name: group.restored_sqnr_db for group in b5_record().groups if group.restored_sqnr_db}
    assert dict(restored) == names
    gains = [sqnr for _, sqnr in restored]
    assert gains == sorted(gains, reverse=True)
    assert restored_groups(unmeasured(b5_record())) == ()


def reasons_of(*reasons: str) -> list[str]:
    group = b5_record().groups[0]
    groups = tuple(replace(group, reason=reason) for reason in reasons)
    return [share.reason for share in arithmetic_shares(replace(b5_record(), groups=groups))]


@pytest.mark.parametrize(
    ("reasons", "merged"),
    [
        (["has 96 weights, fewer than 100", "has 8 weights, fewer than 100"], ["has 8 to 96 weights, fewer than 100"]),
        (["would leave 9.5 dB", "would leave 21.0 dB.", "would leave -1 dB"], ["would leave -1 to 9.5 dB", None]),
        (["matches blocks.0.*", "matches blocks.1.*"], ["matches blocks.0.*", "matches blocks.1.*"]),
        (["stem layers stay float", "stem layers stay float"], ["stem layers stay float"]),
        (["q8-p50 loses 1", "q8-p30 loses 1"], ["q8-p30 loses 1", "q8-p50 loses 1"]),
    ],
)
def test_reasons_that_differ_in_numbers_count_as_one(reasons: list[str], merged: list[str | None]) -> None:
    found = reasons_of(*reasons)
    assert len(found) == len(merged)
    assert all(text in found for text in merged if text)


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=6))
def test_a_merged_reason_spans_every_number(counts: list[int]) -> None:
    (merged,) = reasons_of(*(f"has {count} weights" for count in counts))
    numbers = [int(number) for number in re.findall(r"\d+", merged)]
    assert (min(numbers), max(numbers)) == (min(counts), max(counts))


def test_missed_limits_come_before_warnings_and_equal_sentences_name_their_variants_once() -> None:
    record = int8_reference_record()
    assert int8_warnings(record) == (f"q8: {MISSED}", f"q8, q8-p50: {WARNING}")
    assert missed_limits(record) == (f"q8: {MISSED}",)
    assert int8_warnings(reference_record()) == ()


def saving_of(record: ReportRecord, variant: str, backend: str) -> EngineSaving:
    found = [s for s in engine_savings(record) if (s.variant.name, s.engine.backend) == (variant, backend)]
    assert len(found) == 1
    return found[0]


@pytest.mark.parametrize(
    ("variant", "plan", "fp16_plan", "onnx", "fp16_onnx"),
    [("q8", 40.1, 58.7, 27.8, 54.6), ("q8w", 56.0, 58.7, 30.0, 54.6), ("q8-p50", 27.8, 54.6, 27.8, 54.6)],
)
def test_the_realised_saving_is_that_of_equal_pruning(
    variant: str, plan: float, fp16_plan: float, onnx: float, fp16_onnx: float
) -> None:
    saving = saving_of(int8_reference_record(), variant, "tensorrt-rtx 1.7")
    assert saving.realised == pytest.approx((fp16_plan - plan) / (fp16_onnx - onnx), abs=1e-3)


def with_plan(
    variant: VariantResult, size: int, backend: str = "rtx 1", sms: tuple[str, ...] = ("8.6",)
) -> VariantResult:
    return replace(variant, engines=(EngineFile(backend, "engines/plan", size, sms),))


def saving_between(fp16: VariantResult, int8: VariantResult) -> EngineSaving:
    (saving,) = engine_savings(replace(reference_record(), variants=(fp16, int8)))
    return saving


@given(saved=st.integers(-20, 220), promised=st.integers(-20, 100))
def test_sizes_say_what_a_backend_does_with_int8_weights(saved: int, promised: int) -> None:
    q16, q8 = reference_record().variants[1], replace(reference_record().variants[4], int8=b5_record())
    fp16 = with_plan(replace(q16, graph_bytes=1000 * MIB), 2000 * MIB)
    int8 = with_plan(replace(q8, graph_bytes=(1000 - promised) * MIB), (2000 - saved) * MIB)
    saving = saving_between(fp16, int8)
    assert (saving.saved_bytes, saving.promised_bytes) == (saved * MIB, promised * MIB)
    assert (saving.realised is None) == (promised <= 0)
    if promised < 8:
        assert saving.handling is None
    else:  # in whole numbers, so that the limits are exact
        expected = "expanded" if 2 * saved < promised else "kept" if 10 * saved > 8 * promised else "partly"
        assert saving.handling == expected


@pytest.mark.parametrize(
    "fp16_plan", [{"backend": "rtx 2"}, {"backend": "onnxruntime 1"}, {"sms": ("8.9",)}, {"sms": ()}]
)
def test_an_engine_is_compared_with_its_like_alone(fp16_plan: dict) -> None:
    q16, q8 = reference_record().variants[1], replace(reference_record().variants[4], int8=b5_record())
    saving = saving_between(with_plan(q16, 90, **fp16_plan), with_plan(q8, 50))
    assert saving.saved_bytes is None
    assert saving.realised is None
    assert saving.handling is None


def test_nothing_is_promised_without_an_fp16_variant_of_equal_pruning() -> None:
    q16_p50, q8 = reference_record().variants[2], replace(reference_record().variants[4], int8=b5_record())
    saving = saving_between(with_plan(q16_p50, 90), with_plan(q8, 50))
    assert (saving.promised_bytes, saving.realised) == (None, None)
