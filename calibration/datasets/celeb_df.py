"""Reader of data laid out as Celeb-DF-v2, with one folder of frames in the place of each video.

    DATA/Celeb-real/id32_0008/000.jpg          DATA/YouTube-real/00047/000.jpg
    DATA/Celeb-synthesis/id37_id3_0004/000.jpg DATA/List_of_testing_videos.txt (optional)

The list follows the data set's own convention, `1 YouTube-real/00170.mp4` for a real video and 0 for a fake one.
The folder decides the label; a digit that contradicts it is an error.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from calibration.samples import Sample, SampleSet
from export.errors import DataError

Split = Literal["all", "listed", "unlisted"]

LIST_NAME = "List_of_testing_videos.txt"
FOLDERS = {"Celeb-real": False, "YouTube-real": False, "Celeb-synthesis": True}
IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})
_SPELLING = {name.lower(): name for name in FOLDERS}
_IDENTITY = re.compile(r"id[0-9]+")


def samples_from_celeb_df(root: Path, split: Split = "all") -> SampleSet:
    """Finds every frame under `root`, sorted by path.

    Args:
        root: Folder that holds `Celeb-real`, `YouTube-real` and `Celeb-synthesis` (any case, any of them).
        split: `listed` keeps the videos of the list, `unlisted` the others, `all` every video.

    Raises:
        DataError: The folder is missing or holds no frames, or the list contradicts the folders.
    """
    if not root.is_dir():
        raise DataError(f"no data folder at {root}")
    folders = [path for path in sorted(root.iterdir()) if path.is_dir() and path.name.lower() in _SPELLING]
    if not folders:
        raise DataError(f"{root} has none of the folders {', '.join(FOLDERS)}")
    listed = _listed_videos(root, split)
    samples = [
        sample
        for folder in folders
        for sample in _samples_of_folder(folder)
        if split == "all" or (sample.video.lower() in listed) == (split == "listed")
    ]
    if not samples:
        raise DataError(f"{root} holds no frames for split {split!r}; expected images at FOLDER/VIDEO/FRAME.jpg")
    if split == "listed":
        _require_all_found(root, listed, samples)
    return SampleSet(root, tuple(samples))


def has_test_list(root: Path) -> bool:
    """Tells whether the folder says which of its videos are test videos."""
    return (root / LIST_NAME).is_file()


def identities_of_video(video: str) -> tuple[str, ...]:
    """Returns the persons in `Celeb-synthesis/id37_id3_0004.mp4`, the target first; without any, its own name."""
    folder, _, name = video.removesuffix(".mp4").rpartition("/")
    return tuple(_IDENTITY.findall(name)) or (f"{folder}/{name}",)


def _samples_of_folder(folder: Path) -> list[Sample]:
    # Names are spelled alike whatever the folder's case, or an overlap of two data sets could go unseen.
    kind = _SPELLING[folder.name.lower()]
    samples = []
    for video in sorted(path for path in folder.iterdir() if path.is_dir() and not _is_hidden(path)):
        name = f"{kind}/{video.name}.mp4"
        identities = identities_of_video(name)
        frames = sorted(path for path in video.iterdir() if _is_frame(path))
        samples += [Sample(frame, FOLDERS[kind], name, identities) for frame in frames]
    return samples


def _is_frame(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES and not _is_hidden(path)


def _is_hidden(path: Path) -> bool:
    """Tells editors' and file managers' litter, such as `.ipynb_checkpoints` and `._000.jpg`, from data."""
    return path.name.startswith(".")


def _listed_videos(root: Path, split: Split) -> frozenset[str]:
    if split == "all" or not has_test_list(root):
        if split == "listed":
            raise DataError(f"{root} has no {LIST_NAME}, so its test videos are unknown")
        return frozenset()
    videos = set()
    for number, line in enumerate(_list_text(root).splitlines(), start=1):
        if not line.strip():
            continue
        digit, _, video = line.strip().partition(" ")
        kind = _SPELLING.get(video.partition("/")[0].lower())
        if digit not in ("0", "1") or kind is None:
            raise DataError(f"{root / LIST_NAME}:{number}: {line!r}; expected '1 Celeb-real/id0_0000.mp4' or '0 ...'")
        if (digit == "0") != FOLDERS[kind]:
            raise DataError(f"{root / LIST_NAME}:{number}: {line!r}; 1 means real and 0 fake, but the folder disagrees")
        videos.add(str(Path(video).with_suffix(".mp4").as_posix()).lower())
    return frozenset(videos)


def _require_all_found(root: Path, listed: frozenset[str], samples: list[Sample]) -> None:
    missing = sorted(listed - {sample.video.lower() for sample in samples})
    if missing:
        raise DataError(
            f"{len(missing)} of {len(listed)} videos of {root / LIST_NAME} have no frames, such as {missing[0]}; "
            "extract them or remove them from the list"
        )


def _list_text(root: Path) -> str:
    try:
        return (root / LIST_NAME).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{root / LIST_NAME} is not UTF-8 text ({error}); save it as UTF-8") from error
