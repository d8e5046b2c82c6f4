"""The calibration table: a range per activation tensor, bound to the graph and the images it was measured on."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from calibration.errors import CalibrationError
from calibration.ranges import HEADROOMS, METHODS, Headroom, Method, amax_from_histogram

if TYPE_CHECKING:
    from collections.abc import Mapping

    from calibration.histogram import Histogram

TABLE_SCHEMA = 1


@dataclass(frozen=True)
class TensorRange:
    """The range of one activation tensor.

    Attributes:
        amax: Magnitude that the INT8 value 127 stands for; 0 for a tensor that is always zero.
        method: The estimator that chose it.
        minimum: Smallest value seen.
        maximum: Largest value seen.
    """

    amax: float
    method: Method | Headroom
    minimum: float
    maximum: float


@dataclass(frozen=True)
class CalibrationTable:
    """Ranges and where they come from.

    Attributes:
        ranges: Tensor -> range.
        onnx_sha256: Digest of the FP32 ONNX file that was observed.
        samples_sha256: Digest of the calibration set.
        image_count: Images that were read.
    """

    ranges: Mapping[str, TensorRange]
    onnx_sha256: str
    samples_sha256: str
    image_count: int

    def amax(self, tensor: str) -> float:
        """Returns the range of a tensor.

        Raises:
            CalibrationError: The tensor was not observed.
        """
        if tensor not in self.ranges:
            raise CalibrationError(
                f"the calibration table has no range for tensor {tensor}; it was made for another placement, "
                "calibrate again"
            )
        return self.ranges[tensor].amax

    def require_for(self, onnx_sha256: str) -> None:
        """Refuses a graph that is not the one that was observed.

        Raises:
            CalibrationError: The digests differ.
        """
        if onnx_sha256 != self.onnx_sha256:
            raise CalibrationError(
                f"the calibration table belongs to the ONNX file {self.onnx_sha256[:12]}, not to {onnx_sha256[:12]}; "
                "calibrate this file"
            )

    def to_json(self) -> str:
        """Returns the table as JSON text that reads back equal; equal tables give equal text."""
        record = {"schema": TABLE_SCHEMA, **asdict(self)}
        return json.dumps(record, indent=2, sort_keys=True, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> CalibrationTable:
        """Reads what `to_json` wrote.

        Raises:
            CalibrationError: The text is not a calibration table.
        """
        try:
            record = json.loads(text)
            ranges = {str(tensor): _range_from_record(entry) for tensor, entry in record["ranges"].items()}
            return cls(ranges, str(record["onnx_sha256"]), str(record["samples_sha256"]), int(record["image_count"]))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CalibrationError(
                f"this is not a calibration table ({error!r}); delete the file to have it made again"
            ) from error


def table_from_histograms(
    histograms: Mapping[str, Histogram],
    method: Method,
    onnx_sha256: str,
    samples_sha256: str,
    image_count: int,
    methods: Mapping[str, Method] | None = None,
) -> CalibrationTable:
    """Chooses a range per tensor.

    Args:
        histograms: Tensor -> observed magnitudes.
        method: Estimator of every tensor not in `methods`.
        onnx_sha256: Digest of the graph that was observed.
        samples_sha256: Digest of the calibration set.
        image_count: Images that were read.
        methods: Tensor -> estimator, for tensors that need another one.

    Raises:
        CalibrationError: A method is unknown, or `methods` names a tensor that was not observed.
    """
    methods = methods or {}
    unknown = sorted(methods.keys() - histograms.keys())
    if unknown:
        raise CalibrationError(f"a method is given for tensor {unknown[0]}, which is not observed; check its name")
    ranges = {
        tensor: _range_from_histogram(histogram, methods.get(tensor, method))
        for tensor, histogram in histograms.items()
    }
    return CalibrationTable(ranges, onnx_sha256, samples_sha256, image_count)


def _range_from_histogram(histogram: Histogram, method: Method) -> TensorRange:
    return TensorRange(amax_from_histogram(histogram, method), method, histogram.minimum, histogram.maximum)


def _range_from_record(entry: dict[str, Any]) -> TensorRange:
    found = TensorRange(float(entry["amax"]), entry["method"], float(entry["minimum"]), float(entry["maximum"]))
    if not (math.isfinite(found.amax) and found.amax >= 0):
        raise ValueError(f"range {found.amax}")
    if found.method not in (*METHODS, *HEADROOMS):
        raise ValueError(f"method {found.method!r}")
    return found
