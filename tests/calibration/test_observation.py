from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from onnx import numpy_helper

from calibration.datasets.celeb_df import samples_from_celeb_df
from calibration.errors import CalibrationError
from calibration.loading import Batch, BatchReader
from calibration.observation import histograms_from_samples, table_from_samples
from calibration.placement import PlacementPolicy, placement_from_graph
from calibration.ranges import amax_from_histogram
from export.contract import InputContract
from export.runners import session_from_model
from tests.calibration.planted import EVERYTHING, with_outputs
from tests.celeb_df_tree import write_tree

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import onnx

    from calibration.samples import Sample

CONTRACT = InputContract(64)


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> tuple[Sample, ...]:
    return samples_from_celeb_df(write_tree(tmp_path_factory.mktemp("data"), 0, videos=3, frames=2)).samples


def all_values(model: onnx.ModelProto, tensors: tuple[str, ...], images: np.ndarray) -> dict[str, np.ndarray]:
    """Computes tensors on all images in one run."""
    computed = [name for name in tensors if name != "image"]
    values = session_from_model(with_outputs(model, computed)).run(computed, {"image": images})
    return {"image": images, **dict(zip(computed, values, strict=True))}


def test_histograms_are_those_of_one_run_over_everything(
    fp32_model: onnx.ModelProto, samples: tuple[Sample, ...]
) -> None:
    tensors = placement_from_graph(fp32_model.graph, EVERYTHING).tensors
    reader = BatchReader(samples, CONTRACT, 4)
    histograms, image_count = histograms_from_samples(fp32_model, tensors, reader)
    assert image_count == 18
    assert tuple(histograms) == tensors
    expected = all_values(fp32_model, tensors, np.concatenate([batch.images for batch in reader]))
    for tensor, values in expected.items():
        histogram = histograms[tensor]
        assert histogram.count == values.size
        assert histogram.minimum == pytest.approx(values.min(), abs=1e-5)
        assert histogram.maximum == pytest.approx(values.max(), rel=1e-4)
        counts, _ = np.histogram(np.abs(values), bins=len(histogram.counts), range=(0, histogram.limit))
        # Batched and single images differ in the last bit, so that a few values change their bin.
        assert np.abs(counts - histogram.counts).sum() <= 0.01 * values.size


@pytest.mark.parametrize("method", ["mse", "minmax"])
def test_table_holds_the_method_of_every_tensor(
    fp32_model: onnx.ModelProto, samples: tuple[Sample, ...], method: Any
) -> None:
    placement = placement_from_graph(fp32_model.graph, PlacementPolicy())
    table = table_from_samples(fp32_model, placement, BatchReader(samples, CONTRACT, 8), method, "a", "b")
    histograms, _ = histograms_from_samples(fp32_model, placement.tensors, BatchReader(samples, CONTRACT, 3))
    assert (table.onnx_sha256, table.samples_sha256, table.image_count) == ("a", "b", 18)
    for tensor in placement.tensors:
        assert table.amax(tensor) == amax_from_histogram(histograms[tensor], method)
        assert table.ranges[tensor].method == method


def test_unreadable_images_are_left_out_or_stop_the_run(
    fp32_model: onnx.ModelProto, samples: tuple[Sample, ...], tmp_path: Path
) -> None:
    broken = samples_from_celeb_df(write_tree(tmp_path, 0, videos=1, frames=1)).samples
    for sample in broken:
        sample.path.write_bytes(b"not an image")
    tensors = placement_from_graph(fp32_model.graph, PlacementPolicy()).tensors
    mixed = BatchReader((*samples[:2], broken[0]), CONTRACT, 8, skip_unreadable=True)
    assert histograms_from_samples(fp32_model, tensors, mixed)[1] == 2
    with pytest.raises(CalibrationError, match="no calibration image could be read"):
        histograms_from_samples(fp32_model, tensors, BatchReader(broken, CONTRACT, 8, skip_unreadable=True))


def test_model_that_is_not_finite_names_tensor_and_image(
    fp32_model: onnx.ModelProto, samples: tuple[Sample, ...]
) -> None:
    bias = next(tensor for tensor in fp32_model.graph.initializer if tensor.name == "conv_stem.weight_bias")
    values = numpy_helper.to_array(bias).copy()
    values[0] = np.inf
    bias.CopyFrom(numpy_helper.from_array(values, bias.name))
    tensors = placement_from_graph(fp32_model.graph, PlacementPolicy()).tensors
    with pytest.raises(CalibrationError, match=r"tensor bn1\.act/Mul\.out: .*NaN or infinite.*000\.png"):
        histograms_from_samples(fp32_model, tensors, BatchReader(samples, CONTRACT, 8))


class RepeatingReader(BatchReader):
    """Gives one batch many times without touching a file."""

    def __init__(self, batch: Batch, times: int) -> None:
        super().__init__(batch.samples, CONTRACT, len(batch.samples))
        self._batch = batch
        self._times = times

    def __iter__(self) -> Iterator[Batch]:
        return iter([self._batch] * self._times)


def peak_memory(model: onnx.ModelProto, reader: BatchReader) -> int:
    tensors = placement_from_graph(model.graph, EVERYTHING).tensors
    tracemalloc.start()
    histograms_from_samples(model, tensors, reader)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_memory_does_not_grow_with_the_number_of_images(
    fp32_model: onnx.ModelProto, samples: tuple[Sample, ...]
) -> None:
    batch = next(iter(BatchReader(samples, CONTRACT, 2)))
    few, many = (peak_memory(fp32_model, RepeatingReader(batch, times)) for times in (2, 40))
    assert many < 1.1 * few + 100_000
