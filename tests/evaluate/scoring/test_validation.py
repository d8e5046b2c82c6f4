"""Which labelled images thresholds are fitted to."""

from __future__ import annotations

import secrets
import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest

from calibration.datasets.celeb_df import LIST_NAME, samples_from_celeb_df
from calibration.loading import BatchReader
from calibration.samples import SampleSet
from calibration.sampling import calibration_sample
from engines.spec import CalibrationSpec, RunSpec
from evaluate.scoring.validation import Validation, validation_of_calibration, validation_of_path
from export.errors import DataError
from tests.celeb_df_tree import write_tree
from tests.detectors import contract_for_tests

if TYPE_CHECKING:
    from pathlib import Path

FRESH = pytest.param(secrets.randbelow(1 << 32), id="fresh")
CONTRACT = contract_for_tests(size=32)


def calibrated(root: Path, count: int, seed: int, damaged: int = 0) -> tuple[RunSpec, SampleSet]:
    """Returns what build-engines notes down of the images it draws, and those images."""
    found = samples_from_celeb_df(root)
    drawn = calibration_sample(found, count, seed)
    rng = np.random.default_rng(seed)
    for index in rng.choice(len(drawn.samples), damaged, replace=False):
        drawn.samples[index].path.write_bytes(b"no image")
    reader = BatchReader(drawn.samples, CONTRACT.input, 8, skip_unreadable=True)
    images = SampleSet(root, tuple(sample for batch in reader for sample in batch.samples))
    spec = CalibrationSpec(
        root=str(root),
        sha256=images.sha256,
        images=len(images.samples),
        real=images.real_count,
        fake=images.fake_count,
        unreadable=len(reader.unreadable),
        seed=seed,
        method="auto",
        recipe="accurate",
        videos=images.videos,
        identities=images.identities,
    )
    return RunSpec(CONTRACT, "checkpoint", "0" * 64, (), spec), images


@pytest.mark.parametrize("seed", [0, FRESH])
@pytest.mark.parametrize(("count", "damaged"), [(11, 0), (11, 2), (256, 0), (256, 3)])
def test_the_calibration_images_are_found_again(count: int, damaged: int, seed: int, tmp_path: Path) -> None:
    spec, images = calibrated(write_tree(tmp_path / "calibration", 0), count, seed, damaged)
    found = validation_of_calibration(spec)
    assert found.samples is not None
    assert found.samples.samples == images.samples
    assert found == Validation(images)


def test_listed_videos_are_not_among_them(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "data", 0)
    (root / LIST_NAME).write_text("1 Celeb-real/id0_0000.mp4\n0 Celeb-synthesis/id0_id1_0000.mp4\n", encoding="utf-8")
    found = validation_of_path(root, None, SampleSet(tmp_path, ()), CONTRACT).samples
    assert found is not None
    assert found.samples == samples_from_celeb_df(root, "unlisted").samples


def test_calibration_images_that_are_gone_or_changed_are_none(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "calibration", 0)
    spec, images = calibrated(root, 12, 0)
    images.samples[3].path.write_bytes(images.samples[4].path.read_bytes())
    changed = validation_of_calibration(spec)
    assert changed.samples is None
    assert changed.lack == f"{root} does not hold the images that the run was calibrated with; pass --validation DIR"
    shutil.rmtree(root)
    assert validation_of_calibration(spec).lack.startswith(f"the calibration images are not at {root};")
    root.mkdir()
    assert validation_of_calibration(spec).samples is None


def test_an_image_more_is_another_draw(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "calibration", 0)
    spec, _ = calibrated(root, 100, 0)
    write_tree(root, 50, videos=1)
    assert validation_of_calibration(spec).lack.startswith(f"{root} does not hold the images")


def test_a_run_without_calibration_has_none() -> None:
    found = validation_of_calibration(RunSpec(CONTRACT, "checkpoint", "0" * 64, (), None))
    assert found == Validation(lack="the run has no calibration images; pass --validation DIR")


@pytest.mark.parametrize(("first", "shared"), [(100, "12 videos"), (101, "7 identities")])
def test_a_folder_that_overlaps_with_the_test_set_is_refused(first: int, shared: str, tmp_path: Path) -> None:
    test = samples_from_celeb_df(write_tree(tmp_path / "test", 100))
    validation_of_path(write_tree(tmp_path / "other", 200), None, test, CONTRACT)
    with pytest.raises(DataError, match=f"validation and test set share {shared}, such as .*; validate on other"):
        validation_of_path(write_tree(tmp_path / "validation", first), None, test, CONTRACT)


def test_a_folder_of_one_class_or_of_nothing_is_refused(tmp_path: Path) -> None:
    test, root = SampleSet(tmp_path, ()), write_tree(tmp_path / "validation", 0)
    shutil.rmtree(root / "Celeb-synthesis")
    with pytest.raises(DataError, match=r"the validation set .* 16 real and 0 fake images; both classes are needed"):
        validation_of_path(root, None, test, CONTRACT)
    with pytest.raises(DataError, match="no data folder at"):
        validation_of_path(tmp_path / "nowhere", None, test, CONTRACT)
