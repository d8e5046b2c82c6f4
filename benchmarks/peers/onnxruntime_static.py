"""ONNX Runtime's static quantization, by its defaults and by the options of its TensorRT examples."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from export.contract import INPUT_NAME
from export.versions import versions_of
from peers.inputs import calibration_images

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from peers.job import Job
    from peers.methods import Method

# The histogram calibrators keep every activation of a chunk; this bounds them whatever the size of the images.
_CHUNK_BYTES = 4 << 30
_LAYERS = ["Conv", "Gemm", "MatMul"]


class _Images(CalibrationDataReader):  # type: ignore[misc]  # the base class has no type hints
    """Gives one image at a time, all of them or those of a range, as `CalibStridedMinMax` asks for."""

    def __init__(self, images: NDArray[np.float32]) -> None:
        self._images = images
        self.set_range(0, len(images))

    def __len__(self) -> int:
        return len(self._images)

    def set_range(self, start_index: int, end_index: int) -> None:
        """Goes on with the images from `start_index` up to `end_index`, not included."""
        self._next, self._end = start_index, end_index

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        """Returns the next image as a batch of one, or None after the last."""
        if self._next >= self._end:
            return None
        self._next += 1
        return {INPUT_NAME: np.array(self._images[self._next - 1 : self._next])}


def quantize_by_onnxruntime(job: Job, method: Method, graph: Path) -> Mapping[str, Any]:
    """Quantizes the FP32 graph and writes the result to `graph`."""
    prepared = graph.with_name("prepared.onnx")
    quant_pre_process(str(job.fp32_graph), str(prepared))
    images = calibration_images(job)
    chunk = _chunk_size(onnx.load(prepared), len(images))
    tensorrt = method.settings["profile"] == "tensorrt"
    options = _tensorrt_options() if tensorrt else {}
    keeps_activations = method.settings["calibration"] != "MinMax"
    if keeps_activations:
        options["CalibStridedMinMax"] = chunk
    quantize_static(
        str(prepared),
        str(graph),
        _Images(images),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=_LAYERS if tensorrt else None,
        per_channel=True,
        activation_type=QuantType.QInt8,
        weight_type=QuantType.QInt8,
        calibrate_method=CalibrationMethod[method.settings["calibration"]],
        extra_options=options,
    )
    prepared.unlink()
    remark = f"fed {chunk} images at a time, because it keeps every activation of a chunk" if keeps_activations else ""
    return {"images": len(images), "remark": remark, "versions": versions_of("onnxruntime", "onnx", "numpy")}


def _tensorrt_options() -> dict[str, Any]:
    return {
        "ActivationSymmetric": True,
        "WeightSymmetric": True,
        "AddQDQPairToWeight": True,
        "OpTypesToExcludeOutputQuantization": _LAYERS,
        "DedicatedQDQPair": True,
        "QDQOpTypePerChannelSupportToAxis": {"MatMul": 1},
        "QuantizeBias": False,
    }


def _chunk_size(model: onnx.ModelProto, images: int) -> int:
    """Returns the largest divisor of the number of images whose activations fit the budget; ORT refuses others."""
    fitting = max(1, _CHUNK_BYTES // _activation_bytes(model))
    return max(size for size in range(1, images + 1) if images % size == 0 and size <= fitting)


def _activation_bytes(model: onnx.ModelProto) -> int:
    """Returns the bytes of all activations of one image; what has no known shape counts as nothing."""
    values = [*model.graph.input, *model.graph.value_info, *model.graph.output]
    shapes: list[list[int]] = [[max(1, dim.dim_value) for dim in value.type.tensor_type.shape.dim] for value in values]
    return max(1, 4 * sum(prod(shape) for shape in shapes))
