from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from calibration.datasets.celeb_df import LIST_NAME, samples_from_celeb_df
from calibration.datasets.dataset import media_from_path, samples_from_path
from export.errors import DataError
from tests.calibration.datasets.trees import by_name, files_of, write_file, write_files
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


def test_every_variant_of_the_tree_has_the_same_names(tmp_path: Path) -> None:
    files = write_files(
        tmp_path / "official",
        "Celeb-real/id0_0000.mp4",
        "YouTube-real/00002.mp4",
        "Celeb-synthesis/id0_id1_0000.mp4",
    )
    shouted = write_files(
        tmp_path / "sbi",
        "celeb-REAL/videos/id0_0000.MP4",
        "Youtube-real/videos/00002.mp4",
        "CELEB-synthesis/videos/id0_id1_0000.Mp4",
        "Celeb-real-stuff/id7_0000.mp4",
    )
    frames = write_files(
        tmp_path / "deepfakebench",
        "Celeb-real/frames/id0_0000/000.PNG",
        "Celeb-real/frames/id0_0000/001.png",
        "Celeb-real/landmarks/id0_0000/000.npy",
        "Celeb-real/masks/id0_0000/000.png",
        "YouTube-real/frames/00002/000.png",
        "Celeb-synthesis/frames/id0_id1_0000/000.png",
    )
    found = [media_from_path(root) for root in (files, shouted, frames)]
    for one in found:
        assert (one.layout, one.notes) == ("celeb-df", ())
        assert [(m.video, m.is_fake, m.identities, m.split, m.attributes) for m in one.media] == [
            ("Celeb-real/id0_0000.mp4", False, ("id0",), "", ()),
            ("Celeb-synthesis/id0_id1_0000.mp4", True, ("id0", "id1"), "", ()),
            ("YouTube-real/00002.mp4", False, ("YouTube-real/00002",), "", ()),
        ]
    assert files_of(found[1].media[0], shouted) == ("celeb-REAL/videos/id0_0000.MP4",)
    assert files_of(found[2].media[0], frames) == (
        "Celeb-real/frames/id0_0000/000.PNG",
        "Celeb-real/frames/id0_0000/001.png",
    )


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
    (tree / "Celeb-real" / ".ipynb_checkpoints").mkdir()
    (tree / "Celeb-real" / ".ipynb_checkpoints" / "000.png").write_bytes(b"copy")
    assert samples_from_celeb_df(tree) == before


def test_what_is_left_out_is_counted(tree: Path) -> None:
    before = samples_from_celeb_df(tree)
    write_files(tree / "Celeb-real", "id0_0000/notes.txt", "00.png", "id0_0000.mp4", "id2_0000.avi")
    (tree / "YouTube-real" / "00099").mkdir()
    after = samples_from_celeb_df(tree)
    assert after.samples == before.samples
    assert after.notes == (
        f"files of other kinds, left out: 2, such as {tree / 'Celeb-real/00.png'}",
        f"folders without images, left out: 1, such as {tree / 'YouTube-real/00099'}",
        f"video files left out because there are frames of them: 2, such as {tree / 'Celeb-real/id0_0000.mp4'}",
    )


def test_frames_come_in_the_order_of_time(tmp_path: Path) -> None:
    root = write_files(tmp_path, *(f"Celeb-real/id0_0000/{index}.png" for index in (10, 9, 2, 0, 1)))
    names = [image.path.stem for image in media_from_path(root).media[0].images]
    assert names == ["0", "1", "2", "9", "10"]


def test_list_splits_the_videos(tree: Path) -> None:
    assert {medium.split for medium in media_from_path(tree).media} == {""}
    assert len(samples_from_path(tree, "test").samples) == len(samples_from_path(tree, "calibration").samples) == 12
    write_file(tree / LIST_NAME, "\ufeff1 YouTube-real/00000.mp4\r\n0 Celeb-synthesis/id0_id1_0000.mp4\n\n")
    listed, unlisted = samples_from_celeb_df(tree, "listed"), samples_from_celeb_df(tree, "unlisted")
    assert listed.videos == {"YouTube-real/00000.mp4", "Celeb-synthesis/id0_id1_0000.mp4"}
    assert listed.videos.isdisjoint(unlisted.videos)
    assert len(listed.samples) + len(unlisted.samples) == 12
    assert samples_from_path(tree, "test").samples == listed.samples
    for purpose in ("calibration", "validation"):
        assert samples_from_path(tree, purpose).samples == unlisted.samples


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0 Celeb-real/id0_0000.mp4", ":1: .*1 means real and 0 fake"),
        ("1 Celeb-real/id0_0000.mp4\n\n1 Celeb-synthesis/id0_id1_0000.mp4", ":3: .*1 means real and 0 fake"),
        ("2 Celeb-real/id0_0000.mp4", ":1: .*expected '1 Celeb-real"),
        ("1 Elsewhere/id0_0000.mp4", ":1: .*expected '1 Celeb-real"),
        ("1 Celeb-real/id0_0000.mp4\n1\xff".encode("latin-1"), "is not UTF-8 text"),
    ],
)
def test_a_list_that_contradicts_the_folders_is_refused(tree: Path, text: str | bytes, message: str) -> None:
    write_file(tree / LIST_NAME, text)
    with pytest.raises(DataError, match=message):
        media_from_path(tree)


def test_videos_of_the_list_that_are_not_there_are_told(tree: Path) -> None:
    write_file(tree / LIST_NAME, "1 Celeb-real/id0_0000.mp4\n1 Celeb-real/id77_0000.mp4\n")
    samples = samples_from_path(tree, "test")
    assert samples.videos == {"Celeb-real/id0_0000.mp4"}
    assert samples.notes[1:] == (
        f"videos that are not there of the 2 in {LIST_NAME}: 1, such as Celeb-real/id77_0000.mp4",
    )
    write_file(tree / LIST_NAME, "1 Celeb-real/id77_0000.mp4\n")
    with pytest.raises(DataError, match="no test split but only train"):
        samples_from_path(tree, "test")


def test_a_video_in_two_files_is_refused(tmp_path: Path) -> None:
    root = write_files(tmp_path, "Celeb-real/id0_0000.mp4", "Celeb-real/videos/id0_0000.avi")
    with pytest.raises(DataError, match=r"id0_0000 is there twice, as .*id0_0000\.mp4 and .*videos/id0_0000\.avi"):
        media_from_path(root)
    root = write_files(tmp_path / "b", "Celeb-real/id0_0000.mp4", "celeb-real/id1_0000.mp4")
    with pytest.raises(DataError, match="differ by their case alone"):
        media_from_path(root)


def test_names_by_key_are_unique(tree: Path) -> None:
    assert len(by_name(media_from_path(tree))) == 6
