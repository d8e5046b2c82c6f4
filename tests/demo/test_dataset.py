from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

from calibration.datasets.celeb_df import LIST_NAME, samples_from_celeb_df
from calibration.samples import SampleSet, require_disjoint
from demo.dataset import draw_video, make_split, plan_of_split, videos_of_plan
from export.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

VIDEOS = 20


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def splits(root: Path) -> dict[str, SampleSet]:
    return {s: make_split(root, plan_of_split(s, 0, VIDEOS)) for s in ("train", "calibration", "test")}  # type: ignore[arg-type]


def test_default_test_set_has_the_size_of_the_reference() -> None:
    videos = videos_of_plan(plan_of_split("test", 0, 518))
    folders = [video.name.partition("/")[0] for video in videos]
    assert {name: folders.count(name) for name in set(folders)} == {
        "Celeb-real": 108,
        "YouTube-real": 70,
        "Celeb-synthesis": 340,
    }
    assert len({video.name for video in videos}) == 518


def test_splits_share_nobody(splits: dict[str, SampleSet]) -> None:
    for one, other in (("train", "test"), ("train", "calibration"), ("calibration", "test")):
        require_disjoint(splits[one], splits[other])


@pytest.mark.parametrize("count", [20, 40, 300])
def test_small_sets_keep_the_proportions_without_repeating_a_video(count: int) -> None:
    names = [video.name for video in videos_of_plan(plan_of_split("test", 0, count))]
    assert len(set(names)) == len(names)
    assert sum(name.startswith("Celeb-synthesis") for name in names) == round(340 * count / 518)


@pytest.mark.parametrize("seed", range(3))
def test_full_splits_share_nobody_either(seed: int) -> None:
    people = []
    for split in ("train", "calibration", "test"):
        videos = videos_of_plan(plan_of_split(split, seed, 518))  # type: ignore[arg-type]
        people.append({video.person for video in videos} | {video.other for video in videos} - {None})
    assert not people[0] & people[1]
    assert not people[0] & people[2]
    assert not people[1] & people[2]


def test_list_covers_the_test_set_in_its_convention(root: Path, splits: dict[str, SampleSet]) -> None:
    lines = (root / "test" / LIST_NAME).read_text(encoding="utf-8").splitlines()
    assert all(line.startswith(("0 Celeb-synthesis/", "1 Celeb-real/", "1 YouTube")) for line in lines)
    listed = samples_from_celeb_df(root / "test", "listed")
    assert listed.videos == splits["test"].videos


def test_every_fake_frame_has_a_mask(root: Path, splits: dict[str, SampleSet]) -> None:
    for sample in splits["test"].samples:
        mask = root / "test/masks" / sample.path.relative_to(root / "test").with_suffix(".png")
        assert mask.is_file() == sample.is_fake
        if sample.is_fake:
            assert np.asarray(Image.open(mask)).max() >= 0.1 * 255


def test_a_fake_differs_from_its_real_frame_inside_the_mask(tmp_path: Path) -> None:
    plan = plan_of_split("test", 1, VIDEOS)
    videos = videos_of_plan(plan)
    fake = next(video for video in videos if video.other is not None)
    real = next(video for video in videos if video.other is None and video.scene == fake.scene)
    for video in (fake, real):
        draw_video(tmp_path, plan, video)
    one, two = (np.asarray(Image.open(tmp_path / v.name / "000.jpg"), np.float32) for v in (fake, real))
    mask = np.asarray(Image.open(tmp_path / "masks" / fake.name / "000.png")) > 0
    difference = np.abs(one - two).mean(-1)
    assert difference[mask].mean() > 4 * difference[~mask].mean()
    assert difference[~mask].mean() < 2  # JPEG blocks that straddle the boundary


def test_drawing_again_gives_the_same_files(tmp_path: Path, splits: dict[str, SampleSet]) -> None:
    again = make_split(tmp_path, plan_of_split("calibration", 0, VIDEOS), workers=1)
    assert again.sha256 == splits["calibration"].sha256


def test_another_seed_draws_other_people(tmp_path: Path, splits: dict[str, SampleSet]) -> None:
    assert make_split(tmp_path, plan_of_split("calibration", 1, VIDEOS)).sha256 != splits["calibration"].sha256


def test_complete_split_is_reused_and_a_partial_one_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_of_split("calibration", 2, VIDEOS)
    made = make_split(tmp_path, plan)
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.jpg")}
    assert make_split(tmp_path, plan).sha256 == made.sha256
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.jpg")} == times
    (tmp_path / "calibration").rename(tmp_path / "calibration.partial")  # as a kill would leave it
    next((tmp_path / "calibration.partial").rglob("*.jpg")).unlink()
    assert make_split(tmp_path, plan).sha256 == made.sha256
    assert not (tmp_path / "calibration.partial").exists()


def test_edited_split_is_refused(tmp_path: Path) -> None:
    plan = plan_of_split("calibration", 3, VIDEOS)
    make_split(tmp_path, plan)
    victim = next((tmp_path / "calibration/Celeb-real").rglob("*.jpg"))
    Image.new("RGB", (160, 160)).save(victim)
    with pytest.raises(DataError, match="delete it to have it drawn again"):
        make_split(tmp_path, plan)


@pytest.mark.slow
def test_no_shortcut_tells_fakes_from_reals(tmp_path: Path) -> None:
    """What a detector should not live on: brightness, colour, fine detail of the whole image, size of the file."""
    plan = replace(plan_of_split("test", 4, 60), frames=1)
    samples = make_split(tmp_path, plan).samples
    fakes = [sample.is_fake for sample in samples]
    features: dict[str, list[float]] = {"bytes": [], "mean": [], "red": [], "detail": []}
    for sample in samples:
        pixels = np.asarray(Image.open(sample.path), np.float32)
        features["bytes"].append(sample.path.stat().st_size)
        features["mean"].append(float(pixels.mean()))
        features["red"].append(float(pixels[..., 0].mean() - pixels[..., 2].mean()))
        features["detail"].append(float(np.abs(np.diff(pixels, axis=0)).mean()))
    for name, values in features.items():
        assert 0.3 < roc_auc_score(fakes, values) < 0.7, name
