from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from calibration.datasets.celeb_df import LIST_NAME, has_test_list, samples_from_celeb_df
from export.errors import DataError
from tests.celeb_df_tree import write_tree

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Videos of id0..id3: two real, two from YouTube, two fakes, of two frames each."""
    return write_tree(tmp_path / "data", first_identity=0, videos=2, frames=2)


def test_every_frame_is_found_with_label_video_and_people(tree: Path) -> None:
    samples = samples_from_celeb_df(tree).samples
    found = {(s.path.relative_to(tree).as_posix(), s.is_fake, s.video, s.identities) for s in samples}
    assert len(samples) == len(found) == 12
    assert ("Celeb-real/id0_0000/001.png", False, "Celeb-real/id0_0000.mp4", ("id0",)) in found
    assert ("Celeb-synthesis/id2_id3_0000/000.png", True, "Celeb-synthesis/id2_id3_0000.mp4", ("id2", "id3")) in found
    assert (
        "YouTube-real/00002/000.png",
        False,
        "YouTube-real/00002.mp4",
        ("YouTube-real/00002",),
    ) in found


def test_spelling_of_folders_does_not_hide_an_overlap(tree: Path) -> None:
    before = samples_from_celeb_df(tree)
    (tree / "YouTube-real").rename(tree / "youtube-REAL")
    after = samples_from_celeb_df(tree)
    assert after.videos == before.videos
    assert after.identities == before.identities


def test_litter_is_not_data(tree: Path) -> None:
    before = samples_from_celeb_df(tree)
    video = tree / "Celeb-real" / "id0_0000"
    (video / "._000.png").write_bytes(b"resource fork")
    (video / "notes.txt").write_text("not an image", encoding="utf-8")
    (tree / "Celeb-real" / ".ipynb_checkpoints").mkdir()
    (tree / "Celeb-real" / ".ipynb_checkpoints" / "000.png").write_bytes(b"copy")
    assert samples_from_celeb_df(tree).samples == before.samples


def test_list_splits_the_videos(tree: Path) -> None:
    assert not has_test_list(tree)
    (tree / LIST_NAME).write_text(
        "1 YouTube-real/00000.mp4\r\n0 Celeb-synthesis/id0_id1_0000.mp4\n\n", encoding="utf-8"
    )
    assert has_test_list(tree)
    listed, unlisted = samples_from_celeb_df(tree, "listed"), samples_from_celeb_df(tree, "unlisted")
    assert listed.videos == {"YouTube-real/00000.mp4", "Celeb-synthesis/id0_id1_0000.mp4"}
    assert listed.videos.isdisjoint(unlisted.videos)
    assert len(listed.samples) + len(unlisted.samples) == 12


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0 Celeb-real/id0_0000.mp4", "1 means real and 0 fake"),
        ("2 Celeb-real/id0_0000.mp4", "expected '1 Celeb-real"),
        ("1 Elsewhere/id0_0000.mp4", "expected '1 Celeb-real"),
        ("1 Celeb-real/id0_0000.mp4\n1 Celeb-real/id77_0000.mp4", "1 of 2 videos .*id77_0000"),
    ],
)
def test_a_list_that_contradicts_the_folders_is_refused(tree: Path, text: str, message: str) -> None:
    (tree / LIST_NAME).write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        samples_from_celeb_df(tree, "listed")


def test_missing_data_is_named(tmp_path: Path, tree: Path) -> None:
    with pytest.raises(DataError, match="no data folder"):
        samples_from_celeb_df(tmp_path / "nowhere")
    with pytest.raises(DataError, match="none of the folders Celeb-real"):
        samples_from_celeb_df(tmp_path)
    with pytest.raises(DataError, match=f"no {LIST_NAME}"):
        samples_from_celeb_df(tree, "listed")
    (tmp_path / "empty" / "Celeb-real" / "id0_0000").mkdir(parents=True)
    with pytest.raises(DataError, match="holds no frames"):
        samples_from_celeb_df(tmp_path / "empty")
