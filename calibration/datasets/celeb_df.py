"""Reader of Celeb-DF-v2 as its authors lay it out, and as SBI and DeepfakeBench rearrange it.

    DATA/Celeb-real/id32_0008.mp4              DATA/YouTube-real/videos/00047.mp4
    DATA/Celeb-synthesis/id37_id3_0004/000.jpg DATA/Celeb-synthesis/frames/id37_id3_0005/000.png
    DATA/List_of_testing_videos.txt (optional)

The list follows the data set's own convention, `1 YouTube-real/00170.mp4` for a real video and 0 for a fake one.
The folder decides the label; a digit that contradicts it is an error. Videos of the list are the split `test`, the
others `train`. People often hold a part of the data set: videos of the list that are not there are told, not refused.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from calibration.datasets.folder_content import Leftovers, counted, folders_by_name, videos_in
from calibration.datasets.media import FaceImage, MediaSet, Medium
from calibration.datasets.selection import samples_of_media
from export.errors import DataError

if TYPE_CHECKING:
    from calibration.samples import SampleSet

Split = Literal["all", "listed", "unlisted"]

LIST_NAME = "List_of_testing_videos.txt"
FOLDERS = {"Celeb-real": False, "YouTube-real": False, "Celeb-synthesis": True}
_SPELLING = {name.lower(): name for name in FOLDERS}
IDENTITY = re.compile(r"id[0-9]+")


def is_celeb_df(root: Path) -> bool:
    """Tells whether a folder has one of the three folders, in any case."""
    return bool(folders_by_name(root, _SPELLING))


def media_from_celeb_df(root: Path) -> MediaSet:
    """Finds every video under `root`.

    Raises:
        DataError: The list contradicts the folders, or a video is there twice.
    """
    listed = _listed_videos(root)
    leftovers = Leftovers()
    media = []
    for name, folder in folders_by_name(root, _SPELLING).items():
        # Names are spelled alike whatever the folder's case, or an overlap of two data sets could go unseen.
        kind = _SPELLING[name]
        for video in videos_in(folder, leftovers):
            key = f"{kind}/{video.name}.mp4"
            split = "" if listed is None else "test" if key.lower() in listed else "train"
            images = tuple(map(FaceImage, video.images))
            media.append(Medium(key, FOLDERS[kind], identities_of_video(key), split, (), video.file, images))
    media.sort(key=lambda medium: medium.video)
    notes = leftovers.notes() + _missing(listed or {}, media)
    return MediaSet(root, "celeb-df", tuple(media), notes)


def samples_from_celeb_df(root: Path, split: Split = "all") -> SampleSet:
    """Returns the frames under `root`.

    Args:
        root: Folder that holds `Celeb-real`, `YouTube-real` and `Celeb-synthesis` (any case, any of them).
        split: `listed` keeps the videos of the list, `unlisted` the others, `all` every video.

    Raises:
        DataError: As for `media_from_celeb_df`; or there is no list, no image, or a video that is no images yet.
    """
    found = media_from_celeb_df(root)
    wanted = {"listed": "test", "unlisted": "train", "all": "all"}[split]
    return samples_of_media(found, tuple(medium for medium in found.media if wanted in ("all", medium.split)))


def identities_of_video(video: str) -> tuple[str, ...]:
    """Returns the persons in `Celeb-synthesis/id37_id3_0004.mp4`, the target first; without any, its own name."""
    folder, _, name = video.removesuffix(".mp4").rpartition("/")
    return tuple(IDENTITY.findall(name)) or (f"{folder}/{name}",)


def _listed_videos(root: Path) -> dict[str, str] | None:
    """Returns lower-case name -> name as the list spells it; None without a list."""
    if not (root / LIST_NAME).is_file():
        return None
    videos = {}
    for number, line in enumerate(_list_text(root).splitlines(), start=1):
        if not line.strip():
            continue
        digit, _, video = line.strip().partition(" ")
        kind = _SPELLING.get(video.strip().partition("/")[0].lower())
        if digit not in ("0", "1") or kind is None:
            raise DataError(f"{root / LIST_NAME}:{number}: {line!r}; expected '1 Celeb-real/id0_0000.mp4' or '0 ...'")
        if (digit == "0") != FOLDERS[kind]:
            raise DataError(f"{root / LIST_NAME}:{number}: {line!r}; 1 means real and 0 fake, but the folder disagrees")
        name = Path(video.strip()).with_suffix(".mp4").as_posix()
        videos[name.lower()] = name
    return videos


def _missing(listed: dict[str, str], media: list[Medium]) -> tuple[str, ...]:
    missing = sorted(listed[name] for name in listed.keys() - {medium.video.lower() for medium in media})
    text = f"videos that are not there of the {len(listed)} in {LIST_NAME}"
    return (counted(len(missing), text, missing[0]),) if missing else ()


def _list_text(root: Path) -> str:
    try:
        return (root / LIST_NAME).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{root / LIST_NAME} is not UTF-8 text ({error}); save it as UTF-8") from error
