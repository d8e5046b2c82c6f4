from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from calibration.channel_statistics import (
    ChannelStatistics,
    StreamingChannelStatistics,
    channel_statistics_from_samples,
    read_channel_statistics,
    write_channel_statistics,
)
from calibration.datasets.celeb_df import samples_from_celeb_df
from calibration.errors import CalibrationError
from calibration.loading import BatchReader
from calibration.torch_graph import TorchGraph
from export.contract import INPUT_NAME, InputContract
from export.runners import session_from_model
from tests.calibration.planted import with_outputs
from tests.calibration.small_networks import SIZE, replace_constants, small_network
from tests.celeb_df_tree import write_tree
from tests.export.test_checkpoint import Touch

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("shape", [(7, 5), (7, 5, 1, 1), (7, 5, 6, 4)])
def test_moments_are_those_of_numpy_whatever_the_batches(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    values = rng.standard_t(3, shape).astype(np.float32) * np.float32(10) ** rng.integers(-3, 3, (1, 5, 1, 1))[
        (slice(None), slice(None), *(0,) * (4 - len(shape)))
    ].astype(np.float32)
    flat = np.moveaxis(values, 1, 0).reshape(5, -1).astype(np.float64)
    for order in (range(7), reversed(range(7))):
        streaming = StreamingChannelStatistics()
        for index in order:
            streaming.update(torch.from_numpy(values[index : index + 1]))
        found = streaming.snapshot()
        np.testing.assert_array_equal(found.low, flat.min(axis=1))
        np.testing.assert_array_equal(found.high, flat.max(axis=1))
        np.testing.assert_allclose(found.mean, flat.mean(axis=1), atol=1e-6 * np.abs(flat).max())
        np.testing.assert_allclose(found.mean_square, np.mean(flat**2, axis=1), rtol=1e-5)
        np.testing.assert_allclose(found.variance, flat.var(axis=1), rtol=1e-4)


def test_statistics_of_a_set_are_those_of_one_run_over_everything(tmp_path: Path) -> None:
    samples = samples_from_celeb_df(write_tree(tmp_path, 0, videos=2, frames=2)).samples
    reader = BatchReader(samples, InputContract(SIZE), 5)
    model, tensors = small_network(), ["first.gate/Mul.out", "flatten.out"]
    found = channel_statistics_from_samples(TorchGraph(model), tensors, reader)
    images = np.concatenate([batch.images for batch in reader])
    values = session_from_model(with_outputs(model, tensors)).run(tensors, {INPUT_NAME: images})
    for name, value in zip(tensors, values, strict=True):
        flat = np.moveaxis(value, 1, 0).reshape(value.shape[1], -1)
        np.testing.assert_allclose(found[name].low, flat.min(axis=1), atol=1e-5)
        np.testing.assert_allclose(found[name].high, flat.max(axis=1), atol=1e-5)
        np.testing.assert_allclose(found[name].mean, flat.mean(axis=1), atol=1e-5)
        np.testing.assert_allclose(found[name].variance, flat.var(axis=1), rtol=1e-3, atol=1e-7)


def test_network_that_is_not_finite_names_the_image(tmp_path: Path) -> None:
    samples = samples_from_celeb_df(write_tree(tmp_path, 0, videos=1, frames=1)).samples
    model = small_network()
    replace_constants(model, {"stem.bias": np.full(8, np.inf)})
    with pytest.raises(CalibrationError, match=r"the FP32 model gives nan on .*000\.png"):
        channel_statistics_from_samples(TorchGraph(model), ["stem.out"], BatchReader(samples, InputContract(SIZE), 4))


def test_file_reads_back_equal_and_has_the_same_bytes_again(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    found = {name: ChannelStatistics(*rng.standard_normal((4, n))) for name, n in (("a/b.out", 3), ("c|d", 5))}
    first, second = tmp_path / "1.npz", tmp_path / "2.npz"
    write_channel_statistics(first, found)
    write_channel_statistics(second, found)
    assert first.read_bytes() == second.read_bytes()
    again = read_channel_statistics(first)
    assert list(again) == list(found)
    for name, expected in found.items():
        for part in ("low", "high", "mean", "mean_square"):
            np.testing.assert_array_equal(getattr(again[name], part), getattr(expected, part))


@pytest.mark.parametrize("content", [b"", b"not an archive", b"PK\x03\x04 cut"])
def test_other_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.npz"
    path.write_bytes(content)
    with pytest.raises(CalibrationError, match="holds no channel statistics"):
        read_channel_statistics(path)
    with pytest.raises(CalibrationError, match="holds no channel statistics"):
        read_channel_statistics(tmp_path / "missing")


def test_pickled_code_is_refused_and_not_run(tmp_path: Path) -> None:
    with (tmp_path / "x.npz").open("wb") as stream:
        np.savez(stream, **{"conv|count": np.array([Touch(tmp_path / "touched")], dtype=object)})
    with pytest.raises(CalibrationError, match="holds no channel statistics"):
        read_channel_statistics(tmp_path / "x.npz")
    assert not (tmp_path / "touched").exists()
    with np.load(tmp_path / "x.npz", allow_pickle=True) as archive:
        archive["conv|count"]
    assert (tmp_path / "touched").exists(), "the trap itself must work"


def test_nothing_seen_is_refused() -> None:
    with pytest.raises(CalibrationError, match="no values were counted"):
        StreamingChannelStatistics().snapshot()
