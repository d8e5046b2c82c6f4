"""Runs the FP32 graph on the calibration set and counts what flows through the tensors to be quantized."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import onnx

from calibration.errors import CalibrationError
from calibration.histogram import StreamingHistogram
from calibration.table import table_from_histograms
from export.contract import INPUT_NAME
from export.progress import progress_bar
from export.runners import session_from_model

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from calibration.histogram import Histogram
    from calibration.loading import BatchReader
    from calibration.placement import Placement
    from calibration.ranges import Method
    from calibration.table import CalibrationTable


def table_from_samples(
    model: onnx.ModelProto,
    placement: Placement,
    reader: BatchReader,
    method: Method,
    onnx_sha256: str,
    samples_sha256: str,
) -> CalibrationTable:
    """Measures the range of every activation tensor that a placement quantizes.

    Args:
        model: The FP32 graph.
        placement: Says which tensors.
        reader: The calibration images.
        method: How a range is chosen from what was seen.
        onnx_sha256: Digest of the graph's file.
        samples_sha256: Digest of the calibration set.

    Raises:
        CalibrationError: No image could be read, or the FP32 network is not finite on one of them.
        ImageError: An image does not decode and the reader does not skip it.
    """
    histograms, image_count = histograms_from_samples(model, placement.tensors, reader)
    return table_from_histograms(histograms, method, onnx_sha256, samples_sha256, image_count)


def histograms_from_samples(
    model: onnx.ModelProto, tensors: tuple[str, ...], reader: BatchReader
) -> tuple[Mapping[str, Histogram], int]:
    """Counts the magnitudes of tensors over a calibration set; memory does not depend on its size.

    Returns:
        Tensor -> histogram, and the number of images read.

    Raises:
        CalibrationError: No image could be read, or the FP32 network is not finite on one of them.
    """
    session = session_from_model(with_outputs(model, tensors))
    counters = {tensor: StreamingHistogram() for tensor in tensors}
    image_count = 0
    for batch in progress_bar(reader, "calibrating", len(reader), "batch"):
        # One image at a time: the tensors of a whole batch of large images would fill gigabytes, and are no faster.
        for sample, image in zip(batch.samples, batch.images, strict=True):
            try:
                _count(session, counters, image[None])
            except CalibrationError as error:
                raise CalibrationError(f"{error} (image {sample.path})") from error
        image_count += len(batch.samples)
    if image_count == 0:
        raise CalibrationError("no calibration image could be read; check the folder and the image files")
    return {tensor: counter.snapshot() for tensor, counter in counters.items()}, image_count


def _count(session: Any, counters: Mapping[str, StreamingHistogram], image: NDArray[np.float32]) -> None:
    computed = [tensor for tensor in counters if tensor != INPUT_NAME]
    values = dict(zip(computed, session.run(computed, {INPUT_NAME: image}), strict=True)) if computed else {}
    values[INPUT_NAME] = image
    for tensor, counter in counters.items():
        try:
            counter.update(values[tensor])
        except CalibrationError as error:
            raise CalibrationError(f"tensor {tensor}: {error}") from error


def with_outputs(model: onnx.ModelProto, tensors: tuple[str, ...]) -> onnx.ModelProto:
    """Returns a copy of a graph that gives some of its tensors besides the logit."""
    observed = onnx.ModelProto()
    observed.CopyFrom(model)
    known = {value.name for value in [*observed.graph.output, *observed.graph.input]}
    observed.graph.output.extend(onnx.ValueInfoProto(name=name) for name in tensors if name not in known)
    return observed
