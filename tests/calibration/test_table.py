from __future__ import annotations

import json

import numpy as np
import pytest

from calibration.errors import CalibrationError
from calibration.histogram import Histogram, StreamingHistogram
from calibration.table import CalibrationTable, TensorRange, table_from_histograms


def histograms() -> dict[str, Histogram]:
    rng = np.random.default_rng(0)
    found = {}
    for name in ("a", "b"):
        streaming = StreamingHistogram()
        streaming.update(rng.standard_normal(1000).astype(np.float32))
        found[name] = streaming.snapshot()
    return found


@pytest.fixture
def table() -> CalibrationTable:
    return table_from_histograms(histograms(), "mse", "a" * 64, "b" * 64, 32, {"b": "minmax"})


def test_text_reads_back_equal(table: CalibrationTable) -> None:
    assert CalibrationTable.from_json(table.to_json()) == table
    assert CalibrationTable.from_json(table.to_json()).to_json() == table.to_json()


def test_method_per_tensor(table: CalibrationTable) -> None:
    assert table.ranges["a"].method == "mse"
    assert table.ranges["b"].method == "minmax"
    assert table.amax("b") == histograms()["b"].largest_magnitude
    assert table.amax("a") < histograms()["a"].largest_magnitude
    assert (table.ranges["a"].minimum, table.ranges["a"].maximum) == (
        histograms()["a"].minimum,
        histograms()["a"].maximum,
    )


def test_method_of_an_unknown_tensor_is_refused() -> None:
    with pytest.raises(CalibrationError, match="tensor c, which is not observed"):
        table_from_histograms(histograms(), "mse", "a", "b", 1, {"c": "minmax"})


def test_other_graph_is_refused(table: CalibrationTable) -> None:
    table.require_for("a" * 64)
    with pytest.raises(CalibrationError, match="belongs to the ONNX file aaaaaaaaaaaa, not to cccccccccccc"):
        table.require_for("c" * 64)


def test_missing_tensor_is_named(table: CalibrationTable) -> None:
    with pytest.raises(CalibrationError, match="no range for tensor x"):
        table.amax("x")


@pytest.mark.parametrize(
    "damage",
    [
        lambda record: record.pop("ranges"),
        lambda record: record.update(ranges=[]),
        lambda record: record["ranges"]["a"].pop("amax"),
        lambda record: record["ranges"]["a"].update(amax=-1.0),
        lambda record: record["ranges"]["a"].update(amax="nan"),
        lambda record: record["ranges"]["a"].update(method="magic"),
        lambda record: record.update(image_count="many"),
    ],
)
def test_damaged_table_is_refused(table: CalibrationTable, damage: object) -> None:
    record = json.loads(table.to_json())
    damage(record)  # type: ignore[operator]
    with pytest.raises(CalibrationError, match="not a calibration table"):
        CalibrationTable.from_json(json.dumps(record))


def test_text_that_is_not_json_is_refused() -> None:
    with pytest.raises(CalibrationError, match="not a calibration table"):
        CalibrationTable.from_json("scale: 1")


def test_range_is_part_of_equality(table: CalibrationTable) -> None:
    changed = {**table.ranges, "a": TensorRange(1.0, "mse", -1.0, 1.0)}
    assert CalibrationTable(changed, table.onnx_sha256, table.samples_sha256, 32) != table
