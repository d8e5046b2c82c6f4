from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from calibration.loading import BatchReader
from calibration.samples import Sample
from evaluate.scoring.scoring import frame_scores_from_runner
from export.contract import InputContract
from export.errors import BackendError, DataError, ImageError

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from numpy.typing import NDArray
    from typing_extensions import Self

CONTRACT = InputContract(size=32, interpolation="nearest", mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


class BrightnessRunner:
    """Its logit is the image's mean, so a test knows it from the file."""

    def __init__(self, broken_above: float = 2.0, extra: int = 0) -> None:
        self._broken_above = broken_above
        self._extra = extra

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def infer(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        logits = images.mean(axis=(1, 2, 3))
        logits = np.where(logits > self._broken_above, np.float32(np.nan), logits)
        return np.append(logits, np.zeros(self._extra, np.float32))


def grey_samples(root: Path, count: int) -> list[Sample]:
    samples = []
    for index in range(count):
        path = root / f"v{index // 2}" / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (32, 32), (20 * index,) * 3).save(path)
        samples.append(Sample(path, index % 4 < 2, f"set/v{index // 2}.mp4", (f"id{index // 2}",)))
    return samples


def reader_of(samples: list[Sample], skip_unreadable: bool = False) -> BatchReader:
    return BatchReader(samples, CONTRACT, batch_size=3, skip_unreadable=skip_unreadable)


def test_every_frame_gets_its_own_logit_and_a_path_under_the_root(tmp_path: Path) -> None:
    samples = grey_samples(tmp_path, 8)
    scored = frame_scores_from_runner(BrightnessRunner(), reader_of(samples), tmp_path, "q8")
    assert [frame.path for frame in scored.frames] == [f"v{i // 2}/{i}.png" for i in range(8)]
    assert [frame.logit for frame in scored.frames] == pytest.approx([20 * i / 255 for i in range(8)], abs=1e-6)
    assert [(f.video, f.is_fake) for f in scored.frames] == [(s.video, s.is_fake) for s in samples]
    assert scored.unreadable == ()


def test_a_frame_outside_the_root_keeps_its_whole_path(tmp_path: Path) -> None:
    samples = grey_samples(tmp_path / "data", 1)
    scored = frame_scores_from_runner(BrightnessRunner(), reader_of(samples), tmp_path / "other", "q8")
    assert scored.frames[0].path == samples[0].path.as_posix()


def test_unreadable_images_are_counted_and_their_videos_named_lost(tmp_path: Path) -> None:
    samples = grey_samples(tmp_path, 8)
    for index in (2, 3, 5):
        samples[index].path.write_bytes(b"not an image")
    scored = frame_scores_from_runner(BrightnessRunner(), reader_of(samples, skip_unreadable=True), tmp_path, "q8")
    assert [frame.path for frame in scored.frames] == [f"v{i // 2}/{i}.png" for i in (0, 1, 4, 6, 7)]
    assert scored.unreadable == (samples[2], samples[3], samples[5])
    assert scored.lost_videos == {"set/v1.mp4"}


def test_an_unreadable_image_stops_the_run_unless_skipped(tmp_path: Path) -> None:
    samples = grey_samples(tmp_path, 2)
    samples[1].path.write_bytes(b"not an image")
    with pytest.raises(ImageError, match=r"1\.png"):
        frame_scores_from_runner(BrightnessRunner(), reader_of(samples), tmp_path, "q8")


def test_nan_is_refused_with_the_name_of_the_image(tmp_path: Path) -> None:
    samples = grey_samples(tmp_path, 8)
    with pytest.raises(BackendError, match=r"nan for .*v3/6\.png \(2 of 2"):
        frame_scores_from_runner(BrightnessRunner(broken_above=5.5 * 20 / 255), reader_of(samples), tmp_path, "q8")


def test_a_wrong_number_of_logits_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match=r"shape \(4,\) for 3 images"):
        frame_scores_from_runner(BrightnessRunner(extra=1), reader_of(grey_samples(tmp_path, 3)), tmp_path, "q8")


def test_nothing_readable_is_an_error(tmp_path: Path) -> None:
    samples = grey_samples(tmp_path, 1)
    samples[0].path.write_bytes(b"")
    with pytest.raises(DataError, match="none of the 1 images"):
        frame_scores_from_runner(BrightnessRunner(), reader_of(samples, skip_unreadable=True), tmp_path, "q8")
