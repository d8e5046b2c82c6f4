from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import numpy as np
import pytest

from calibration.datasets.dataset import media_from_path
from export.errors import DataError
from tests.calibration.datasets.trees import content_of, write_file, write_files

if TYPE_CHECKING:
    from pathlib import Path

FRESH = pytest.param(secrets.randbelow(1 << 32), id="fresh")


def test_copies_are_told_and_contrary_labels_refused(tmp_path: Path) -> None:
    root = write_files(tmp_path, "real/a.png", "fake/b.png", "fake/c.mp4")
    assert media_from_path(root).notes == ()
    write_file(root / "fake/copy.png", content_of("fake/b.png"))
    assert media_from_path(root).notes == (
        f"files that are copies of files of other videos: 1, such as {root / 'fake/copy.png'}",
    )
    write_file(root / "real/wrong.mp4", content_of("fake/c.mp4"))
    with pytest.raises(DataError, match=r"real/wrong\.mp4 is real and .*fake/c\.mp4 fake, but they are the same file"):
        media_from_path(root)


def test_a_picture_that_two_videos_share_is_no_contradiction(tmp_path: Path) -> None:
    """Films fade to black, real ones and fake ones."""
    root = write_files(tmp_path, "real/a/0.png", "fake/b/0.png")
    for name in ("real/a/1.png", "real/a/2.png", "fake/b/1.png"):
        write_file(root / name, content_of("black"))
    notes = media_from_path(root).notes
    assert len(notes) == 1
    assert notes[0].startswith("files that are copies of files of other videos: 2, such as ")
    write_file(root / "fake/b/0.png", content_of("real/a/0.png"))
    with pytest.raises(DataError, match="are the same file"):
        media_from_path(root)


def test_files_that_were_cut_off_are_no_copies(tmp_path: Path) -> None:
    root = write_files(tmp_path, "real/a/0.png", "fake/b/0.png")
    for name in ("real/c.png", "real/d.png", "fake/e.png", "fake/f.mp4"):
        write_file(root / name, b"")
    assert media_from_path(root).notes == ()


def test_pictures_that_stand_still_are_no_copies(tmp_path: Path) -> None:
    root = write_files(tmp_path, "real/a/0.png", "fake/b/0.png")
    write_file(root / "real/a/1.png", content_of("real/a/0.png"))
    assert media_from_path(root).notes == ()


@pytest.mark.parametrize("seed", [0, FRESH])
def test_files_that_differ_anywhere_are_no_copies(seed: int, tmp_path: Path) -> None:
    """As long as each other, and alike at their ends."""
    rng = np.random.default_rng(seed)
    content = rng.bytes(20_000)
    write_file(tmp_path / "real/whole.png", content)
    for index in range(6):
        place = int(rng.integers(len(content)))
        changed = bytes([content[place] ^ 1])
        write_file(tmp_path / f"fake/{index}.png", content[:place] + changed + content[place + 1 :])
    found = media_from_path(tmp_path)
    different = {image.path.read_bytes() for medium in found.media for image in medium.images}
    assert bool(found.notes) == (len(different) < 7)
