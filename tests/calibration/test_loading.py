from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

import calibration.loading as loading
from calibration.datasets.celeb_df import samples_from_celeb_df
from calibration.loading import BatchReader
from export.contract import InputContract
from export.errors import ImageError
from export.preprocessing import array_from_file, pixels_from_file
from tests.celeb_df_tree import write_tree

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor
    from pathlib import Path

    from numpy.typing import NDArray

    from calibration.samples import Sample
    from export.runner import Images

CONTRACT = InputContract(32)


@pytest.fixture
def samples(tmp_path: Path) -> tuple[Sample, ...]:
    return samples_from_celeb_df(write_tree(tmp_path, 0, videos=3, frames=2)).samples


@pytest.mark.parametrize("in_bursts", [False, True])
@pytest.mark.parametrize("batch_size", [1, 4, 5, 18, 100])
def test_batches_are_the_images_in_order(
    samples: tuple[Sample, ...], batch_size: int, in_bursts: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "_AHEAD", 7)
    reader = BatchReader(samples, CONTRACT, batch_size, in_bursts=in_bursts)
    batches = list(reader)
    assert len(batches) == len(reader) == -(-18 // batch_size)
    assert tuple(sample for batch in batches for sample in batch.samples) == samples
    expected = np.stack([array_from_file(sample.path, CONTRACT) for sample in samples])
    np.testing.assert_array_equal(np.concatenate([batch.images for batch in batches]), expected)


@pytest.mark.parametrize("workers", [None, 1, 5])
def test_pixels_are_read_for_graphs_that_normalize_themselves(samples: tuple[Sample, ...], workers: int | None) -> None:
    batches = list(BatchReader(samples, CONTRACT, 4, workers, form="uint8"))
    assert tuple(sample for batch in batches for sample in batch.samples) == samples
    images = np.concatenate([batch.images for batch in batches])
    assert (images.dtype, images.shape) == (np.uint8, (18, 32, 32, 3))
    np.testing.assert_array_equal(images, np.stack([pixels_from_file(sample.path, CONTRACT) for sample in samples]))


@pytest.mark.parametrize("in_bursts", [False, True])
def test_unreadable_image_stops_the_reader_unless_it_may_skip(samples: tuple[Sample, ...], in_bursts: bool) -> None:
    samples[7].path.write_bytes(samples[7].path.read_bytes()[:60])
    with pytest.raises(ImageError, match="cannot decode"):
        list(BatchReader(samples, CONTRACT, 4, in_bursts=in_bursts))
    reader = BatchReader(samples, CONTRACT, 4, skip_unreadable=True, in_bursts=in_bursts)
    for _ in range(2):
        read = [sample for batch in reader for sample in batch.samples]
        assert read == [*samples[:7], *samples[8:]]
        assert reader.unreadable == [samples[7]]


def test_what_is_no_picture_is_counted_and_left_out(samples: tuple[Sample, ...]) -> None:
    frame = Image.new("L", (48, 48), 200)
    samples[0].path.write_bytes(b"")
    samples[3].path.write_bytes(b"<html>404</html>")
    frame.save(samples[5].path, "GIF", save_all=True, append_images=[Image.new("L", (48, 48), 9)])
    frame.convert("F").save(samples[9].path, "TIFF")
    Image.new("1", (10_000, 9_000)).save(samples[17].path)
    bad = [samples[index] for index in (0, 3, 5, 9, 17)]
    reader = BatchReader(samples, CONTRACT, 4, skip_unreadable=True)
    assert [sample for batch in reader for sample in batch.samples] == [s for s in samples if s not in bad]
    assert reader.unreadable == bad


@pytest.mark.parametrize(("batch_size", "ahead", "most"), [(2, 1, 4), (2, 6, 6), (1, 7, 7), (3, 6, 6)])
def test_decoding_runs_at_most_two_batches_or_a_lump_of_images_ahead(
    samples: tuple[Sample, ...], batch_size: int, ahead: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    submitted = 0
    submit = BatchReader._submit

    def counting(self: BatchReader, pool: ThreadPoolExecutor, sample: Sample) -> Future[Images]:
        nonlocal submitted
        submitted += 1
        return submit(self, pool, sample)

    monkeypatch.setattr(BatchReader, "_submit", counting)
    monkeypatch.setattr(loading, "_AHEAD", ahead)
    handed_out = 0
    for batch in BatchReader(samples, CONTRACT, batch_size):
        handed_out += len(batch.samples)
        # Half of what may be ahead is under way, unless the samples end, and never more than all of it.
        assert min(handed_out + most // 2, len(samples)) <= submitted <= handed_out + most


@pytest.mark.parametrize(("batch_size", "burst", "expected"), [(2, 6, 6), (6, 4, 6), (4, 6, 6), (1, 100, 18)])
def test_bursts_are_decoded_only_while_the_consumer_waits(
    samples: tuple[Sample, ...], batch_size: int, burst: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[Path] = []

    def counting(path: Path, contract: InputContract) -> NDArray[np.float32]:
        decoded.append(path)
        return array_from_file(path, contract)

    monkeypatch.setattr(loading, "array_from_file", counting)
    monkeypatch.setattr(loading, "_AHEAD", burst)
    handed_out = 0
    for batch in BatchReader(samples, CONTRACT, batch_size, in_bursts=True):
        handed_out += len(batch.samples)
        bursts = -(-handed_out // expected)
        # Whatever is under way would add to this list sooner or later; a whole burst is done before a batch comes out.
        assert len(decoded) == min(bursts * expected, len(samples))


def test_abandoned_reader_ends_its_threads(samples: tuple[Sample, ...]) -> None:
    batches = iter(BatchReader(samples, CONTRACT, 2))
    next(batches)
    batches.close()  # type: ignore[attr-defined]  # a generator, declared as the Iterator it serves as
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("decode")]
