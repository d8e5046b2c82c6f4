"""Names of folders: inside of the output, apart from each other, and those of the videos where that can be."""

from __future__ import annotations

from pathlib import PurePosixPath

from hypothesis import given
from hypothesis import strategies as st

from preparation.crop_folders import crop_folders

CLASHING = (
    "a",
    "a.mp4",
    "A.mp4",
    "a.avi",
    "a/b",
    "a/b.mp4",
    "manifest.csv",
    ".prepared/x",
    "../x",
    "/x",
    "prepared.json",
)
NAMES = st.lists(
    st.one_of(
        st.text("aA./\\ _-é", min_size=1, max_size=12),
        st.text("aé𠀀漢/:*?\n'\t", min_size=200, max_size=300),
        st.sampled_from(CLASHING),
    ),
    max_size=12,
    unique=True,
)


def test_a_video_gives_its_folder_its_name() -> None:
    assert crop_folders(["Celeb-real/id0_0000.mp4", "real/a b.v2.mkv", "c23/000_003"]) == {
        "Celeb-real/id0_0000.mp4": "Celeb-real/id0_0000",
        "real/a b.v2.mkv": "real/a b.v2",
        "c23/000_003": "c23/000_003",
    }


def test_names_that_clash_get_something_of_their_own() -> None:
    folders = crop_folders(["a.mp4", "a.avi", "b/A.mp4", "b/a.mp4", "c", "c/d", "e.mp4"])
    assert folders["e.mp4"] == "e"
    assert folders["c/d"] == "c/d"
    assert folders["c"].startswith("c-")
    assert all(folders[name].startswith("a-") for name in ("a.mp4", "a.avi"))


@given(NAMES)
def test_folders_are_apart_and_inside_whatever_videos_are_called(names: list[str]) -> None:
    folders = crop_folders(names)
    assert folders.keys() == set(names)
    paths = [PurePosixPath(folder.casefold()) for folder in folders.values()]
    assert len(set(paths)) == len(names)
    for path in paths:
        assert not path.is_absolute()
        assert path.parts
        assert path.parts[0] not in ("manifest.csv", "prepared.json", "contact_sheet.jpg", ".prepared")
        assert all(part not in (".", "..") and len(part.encode()) < 256 for part in path.parts)
        assert not any(other in path.parents for other in paths)
