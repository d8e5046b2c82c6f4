from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest

from calibration import int8_images
from calibration.datasets.celeb_df import samples_from_celeb_df
from calibration.int8_images import (
    BATCH_SIZE,
    costly_pass_image_count,
    fitted_images,
    image_warnings,
    int8_images_from_samples,
)
from calibration.sampling import split_by_video
from export.contract import InputContract
from export.errors import DataError
from export.preprocessing import array_from_file
from tests.celeb_df_tree import write_tree

if TYPE_CHECKING:
    from pathlib import Path

    from calibration.samples import SampleSet

CONTRACT = InputContract(32)


def image_set(folder: Path, videos: int, frames: int = 2) -> SampleSet:
    return samples_from_celeb_df(write_tree(folder, 0, videos=videos, frames=frames))


def test_healthy_set_has_no_warning(tmp_path: Path) -> None:
    assert image_warnings(image_set(tmp_path, 6)) == ()


def test_few_images_are_a_warning(tmp_path: Path) -> None:
    (warning,) = image_warnings(image_set(tmp_path, 5))
    assert warning == "only 30 calibration images; ranges of fewer than 32 are not reliable"


def test_copies_are_a_warning(tmp_path: Path) -> None:
    samples = image_set(tmp_path, 6)
    for sample in samples.samples[1:20]:
        shutil.copy(samples.samples[0].path, sample.path)
    (warning,) = image_warnings(samples)
    assert warning == "19 of 36 calibration images are copies of others"


def test_equal_images_are_an_error(tmp_path: Path) -> None:
    samples = image_set(tmp_path, 6)
    for sample in samples.samples[1:]:
        shutil.copy(samples.samples[0].path, sample.path)
    with pytest.raises(DataError, match=r"all 36 calibration images of .* are the same; use faces of many people"):
        image_warnings(samples)


def test_too_few_videos_to_hold_any_back_are_a_warning(tmp_path: Path) -> None:
    # One real and one fake video of one identity pair, and one from YouTube: no class has a fourth.
    warnings = image_warnings(image_set(tmp_path, 1, frames=20))
    assert len(warnings) == 1
    assert "hold any back" in warnings[0]
    images = int8_images_from_samples(image_set(tmp_path, 1, frames=20), CONTRACT)
    assert len(images.fitted.is_fake) == len(images.judging.is_fake) == 60


def test_images_that_judge_come_from_other_videos(tmp_path: Path) -> None:
    samples = image_set(tmp_path, 6)
    fitted, judging = split_by_video(samples)
    assert not {s.video for s in fitted} & {s.video for s in judging}
    assert len(fitted) + len(judging) == 36
    images = int8_images_from_samples(samples, CONTRACT)
    for expected, got in ((fitted, images.fitted), (judging, images.judging)):
        arrays = {array_from_file(s.path, CONTRACT).tobytes(): s.is_fake for s in expected}
        assert len(arrays) == len(expected)
        loaded = np.concatenate([batch.numpy() for batch in got.batches])
        assert {image.tobytes() for image in loaded} == set(arrays)
        assert [arrays[image.tobytes()] for image in loaded] == got.is_fake.tolist()
        assert {len(batch) for batch in got.batches[:-1]} <= {BATCH_SIZE}


def test_large_sets_are_thinned_evenly_and_the_same_way_every_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(int8_images, "MOST_FITTED", 12)
    monkeypatch.setattr(int8_images, "MOST_JUDGING", 6)
    samples = image_set(tmp_path, 8)
    first, second = (int8_images_from_samples(samples, CONTRACT) for _ in range(2))
    assert (len(first.fitted.is_fake), len(first.judging.is_fake)) == (12, 6)
    share = samples.fake_count / len(samples.samples)
    assert first.fitted.is_fake.mean() == pytest.approx(share, abs=0.1)
    # Mixed, so that every batch has both classes.
    assert 0 < first.fitted.is_fake[:6].sum() < 6
    for one, other in zip(first.fitted.batches, second.fitted.batches, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())
    assert len(fitted_images(samples, CONTRACT).is_fake) == 12


def test_first_gives_whole_batches(tmp_path: Path) -> None:
    images = fitted_images(image_set(tmp_path, 8), CONTRACT)
    assert [len(images.first(count)) for count in (1, 16, 31, 32, 1000)] == [1, 1, 1, 2, 3]


@pytest.mark.parametrize(("size", "count"), [(32, 64), (160, 64), (192, 32), (224, 32), (456, 32)])
def test_larger_networks_are_measured_on_fewer_images(size: int, count: int) -> None:
    assert costly_pass_image_count(size) == count
