from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from calibration.datasets.dataset import media_from_path, samples_from_path
from calibration.samples import require_disjoint
from export.errors import DataError
from tests.calibration.datasets.trees import by_name, files_of, write_files

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("real", "fake"), [("real", "fake"), ("REAL", "Fake"), ("0_real", "1_fake"), ("original", "manipulated")]
)
def test_pictures_frames_and_videos_of_two_classes(real: str, fake: str, tmp_path: Path) -> None:
    root = write_files(
        tmp_path,
        f"{real}/a.png",
        f"{real}/b/2.jpg",
        f"{real}/b/10.jpg",
        f"{fake}/a.mp4",
        f"{fake}/c.JPEG",
        f"{fake}/frames/d/0.png",
        f"{fake}/e/f/0.webp",
        f"{fake}/e/g.mkv",
        f"{fake}/landmarks/d/0.npy",
        "readme.txt",
    )
    found = media_from_path(root)
    assert (found.layout, found.notes) == ("plain-folders", ())
    assert {m.video: (m.is_fake, m.identities, m.split, files_of(m, root)) for m in found.media} == {
        "real/a": (False, ("real/a",), "", (f"{real}/a.png",)),
        "real/b": (False, ("real/b",), "", (f"{real}/b/2.jpg", f"{real}/b/10.jpg")),
        "fake/a": (True, ("fake/a",), "", (f"{fake}/a.mp4",)),
        "fake/c": (True, ("fake/c",), "", (f"{fake}/c.JPEG",)),
        "fake/d": (True, ("fake/d",), "", (f"{fake}/frames/d/0.png",)),
        "fake/e/f": (True, ("fake/e/f",), "", (f"{fake}/e/f/0.webp",)),
        "fake/e/g": (True, ("fake/e/g",), "", (f"{fake}/e/g.mkv",)),
    }


@pytest.mark.parametrize("names", ["Train Val Test", "train valid test", "Training Validation Testing"])
@pytest.mark.parametrize("inside", [False, True])
def test_splits_above_or_below_the_classes(names: str, inside: bool, tmp_path: Path) -> None:
    train, val, test = names.split()
    pairs = [(split, kind) for split in (train, val, test) for kind in ("real", "fake")]
    root = write_files(
        tmp_path, *(f"{kind}/{split}/0.png" if inside else f"{split}/{kind}/0.png" for split, kind in pairs)
    )
    found = by_name(media_from_path(root))
    assert {video: medium.split for video, medium in found.items()} == {
        f"{split.lower()}/{kind}/0": split for split, kind in pairs
    }
    for purpose, split in (("calibration", train), ("validation", val), ("test", test)):
        wanted = {f"{split.lower()}/{kind}/0" for kind in ("real", "fake")}
        assert samples_from_path(root, purpose).videos == wanted
        assert samples_from_path(root, "test", split.upper()).videos == wanted
    assert len(samples_from_path(root, "test", "all").videos) == 6


def test_folders_that_are_splits_themselves_share_no_video(tmp_path: Path) -> None:
    """Pictures are numbered anew in each split; that says nothing of their being the same."""
    for split in ("calibration", "Test"):
        write_files(tmp_path / split, "real/0001.png", "fake/0001.png")
    calibration, test = (
        samples_from_path(tmp_path / "calibration", "calibration"),
        samples_from_path(tmp_path / "Test", "test"),
    )
    assert test.videos == {"test/real/0001", "test/fake/0001"}
    require_disjoint(calibration, test)
    with pytest.raises(DataError, match="share 2 videos"):
        require_disjoint(samples_from_path(tmp_path / "Test", "calibration"), test)


def test_one_name_for_two_things(tmp_path: Path) -> None:
    root = write_files(tmp_path, "real/a.png", "real/a.jpg", "real/b.mp4", "real/b/0.png", "real/c.mp4", "real/c.png")
    found = media_from_path(root)
    assert {m.video: files_of(m, root) for m in found.media} == {
        "real/a.jpg": ("real/a.jpg",),
        "real/a.png": ("real/a.png",),
        "real/b": ("real/b/0.png",),
        "real/c": ("real/c.mp4",),
        "real/c.png": ("real/c.png",),
    }
    assert found.notes == (f"video files left out because there are frames of them: 1, such as {root / 'real/b.mp4'}",)
    write_files(root, "real/c.avi")
    with pytest.raises(DataError, match=r"the video real/c is there twice"):
        media_from_path(root)


def test_links_are_followed_and_leftovers_counted(tmp_path: Path) -> None:
    elsewhere = write_files(tmp_path / "elsewhere", "0.png", "1.png")
    root = write_files(tmp_path / "data", "real/a.png", "real/.hidden.png", "fake/notes.txt", "fake/d/e.csv")
    (root / "fake" / "linked").symlink_to(elsewhere)
    (root / "fake" / "single.png").symlink_to(write_files(tmp_path, "picture.png") / "picture.png")
    found = media_from_path(root)
    assert {m.video: len(m.images) for m in found.media} == {"real/a": 1, "fake/linked": 2, "fake/single": 1}
    assert found.notes == (
        f"files of other kinds, left out: 2, such as {root / 'fake/notes.txt'}",
        f"folders without images, left out: 1, such as {root / 'fake/d'}",
    )
