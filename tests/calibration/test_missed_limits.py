from __future__ import annotations

from dataclasses import replace

import pytest

from calibration.int8_making import missed_limits
from calibration.int8_record import FrontierPoint, GroupRecord, Int8Record

GROUPS = tuple(
    GroupRecord(name, "convolution", (name,), 10, macs, None, None, None, kind, "")  # type: ignore[arg-type]
    for name, macs, kind in (("a", 300, "int8"), ("b", 100, "float"), ("c", 100, "int8-weights"))
)
RECORD = Int8Record(
    recipe="accurate",
    groups=GROUPS,
    frontier=(FrontierPoint(20.0, 24.0, 0.5, True), FrontierPoint(31.22, 28.0, 0.3, True)),
    repairs=(),
    size_mib=28.0,
    max_size_mib=29.5,
    sqnr_db=26.0,
    min_sqnr_db=25.0,
    flipped=0,
    auc_difference=0.0,
    max_auc_drop=0.001,
    fitted_images=96,
    held_back_images=32,
    range_methods={},
    equalized_tensors=0,
)


def test_met_limits_say_nothing() -> None:
    assert missed_limits(RECORD) == ()
    assert missed_limits(replace(RECORD, size_mib=29.5, sqnr_db=25.0)) == ()


def test_size_that_is_missed() -> None:
    (sentence,) = missed_limits(replace(RECORD, size_mib=29.91))
    assert sentence == (
        "the file has 29.91 MiB, 0.41 more than the limit of 29.5; no smaller choice of layers was found: "
        "allow 30.0 MiB, or prune"
    )


@pytest.mark.parametrize(
    ("changes", "way_out"),
    [
        ({"min_sqnr_db": 27.0}, "a limit of 31.3 MiB is predicted to meet it"),
        ({"min_sqnr_db": 27.0, "max_size_mib": 32.0}, "fewer INT8 layers would: pin the most harmful ones"),
        ({"min_sqnr_db": 40.0}, "keep AUC and decisions; q8w or q16 would"),
        (
            {"recipe": "fast", "min_sqnr_db": 27.0, "max_size_mib": None, "frontier": ()},
            "keep the AUC; the recipe accurate, q8w or q16 would",
        ),
    ],
)
def test_sqnr_that_is_missed(changes: dict[str, object], way_out: str) -> None:
    (sentence,) = missed_limits(replace(RECORD, **changes))  # type: ignore[arg-type]
    lacking = float(changes["min_sqnr_db"]) - 26.0  # type: ignore[arg-type]
    assert (
        f"the logit SQNR is 26.0 dB, {lacking:.1f} dB short of the {changes['min_sqnr_db']:.1f} that keep" in sentence
    )
    assert way_out in sentence
    assert "\n" not in sentence


def test_both_are_said() -> None:
    sentences = missed_limits(replace(RECORD, size_mib=30.0, sqnr_db=10.0))
    assert [sentence.split(" ", 2)[1] for sentence in sentences] == ["file", "logit"]


def test_share_of_int8_counts_arithmetic_only() -> None:
    assert RECORD.int8_mac_share == pytest.approx(0.6)
