"""Reader of a folder for each class, and of a pair of such folders for each split.

    DATA/real/a.png   DATA/fake/b/000.png           pictures, folders of frames, videos, in any mixture
    DATA/Train/real/c.mp4  DATA/Test/1_fake/d.mp4   the classes below the splits, or the splits below the classes

A picture right in the folder of its class is a video of one image; those of a deeper folder are frames of one video.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from calibration.datasets.folder_content import (
    BESIDE_FRAMES,
    PASSED_THROUGH,
    FoundVideo,
    Leftovers,
    folders_by_name,
    listing,
)
from calibration.datasets.media import FaceImage, MediaSet, Medium
from calibration.datasets.selection import SPLIT_NAMES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

CLASSES = {
    "real": False,
    "0_real": False,
    "original": False,
    "fake": True,
    "1_fake": True,
    "manipulated": True,
}
# Names that people give the folder they calibrate with.
_CALIBRATION = frozenset({"calibration", "calib"})


def is_plain_folders(root: Path) -> bool:
    """Tells whether a folder has one for a class, or for a split that has one for a class."""
    return next(_class_folders(root), None) is not None


def media_from_plain_folders(root: Path) -> MediaSet:
    """Finds every picture and video under `root`.

    Videos are named `real/NAME` and `fake/NAME`, below a split `test/real/NAME`: pictures are often numbered anew in
    each split, so that one name in two of them says nothing. For the same reason, a folder that is itself called as a
    split puts that into the names.

    Raises:
        DataError: A video is there twice.
    """
    leftovers = Leftovers()
    own = root.absolute().name.lower()
    above = own if own in SPLIT_NAMES or own in _CALIBRATION else ""
    media = []
    for split, name, folder in _class_folders(root):
        is_fake = CLASSES[name]
        for below, video in _videos(folder, leftovers):
            inner = split or below
            parts = (inner.lower() or above, "fake" if is_fake else "real", video.name)
            key = "/".join(part for part in parts if part)
            images = tuple(map(FaceImage, video.images))
            media.append(Medium(key, is_fake, (key,), inner, (), video.file, images))
    return MediaSet(root, "plain-folders", tuple(sorted(media, key=lambda medium: medium.video)), leftovers.notes())


def _class_folders(root: Path) -> Iterator[tuple[str, str, Path]]:
    """Yields split, class and folder."""
    for name, folder in folders_by_name(root, CLASSES.keys() | SPLIT_NAMES).items():
        if name in CLASSES:
            yield "", name, folder
        else:
            for inner, class_folder in folders_by_name(folder, CLASSES).items():
                yield folder.name, inner, class_folder


def _videos(folder: Path, leftovers: Leftovers) -> Iterator[tuple[str, FoundVideo]]:
    """Yields split and video of what lies in the folder of a class."""
    splits = [path for path in listing(folder).folders if path.name.lower() in SPLIT_NAMES]
    for path in splits:
        yield from ((path.name, video) for video in _named_apart(_found(path, leftovers), leftovers))
    yield from (("", video) for video in _named_apart(_found(folder, leftovers, frozenset(splits)), leftovers))


def _found(folder: Path, leftovers: Leftovers, without: frozenset[Path] = frozenset()) -> Iterator[FoundVideo]:
    """Yields pictures, still with their suffixes, videos, and what deeper folders hold."""
    listed = listing(folder)
    leftovers.other_files += listed.others
    yield from (FoundVideo(path.name, images=(path,)) for path in listed.images)
    yield from (FoundVideo(path.stem, file=path) for path in listed.videos)
    for path in listed.folders:
        if path.name.lower() in PASSED_THROUGH:
            yield from _found(path, leftovers)
        elif path not in without and path.name.lower() not in BESIDE_FRAMES:
            yield from _deeper(path, path.name, leftovers)


def _deeper(folder: Path, name: str, leftovers: Leftovers) -> Iterator[FoundVideo]:
    listed = listing(folder)
    folders = [path for path in listed.folders if path.name.lower() not in BESIDE_FRAMES]
    leftovers.other_files += listed.others
    if listed.images:
        yield FoundVideo(name, images=listed.images)
    yield from (FoundVideo(f"{name}/{path.stem}", file=path) for path in listed.videos)
    for path in folders:
        inner = name if path.name.lower() in PASSED_THROUGH else f"{name}/{path.name}"
        yield from _deeper(path, inner, leftovers)
    if not (listed.images or listed.videos or folders):
        leftovers.empty_folders.append(folder)


def _named_apart(videos: Iterable[FoundVideo], leftovers: Leftovers) -> Iterator[FoundVideo]:
    """Takes pictures' suffixes away where names stay different, and prefers frames to the video they are of."""
    listed = list(videos)
    alike = Counter(_stem(video) for video in listed)
    with_frames = {video.name for video in listed if video.images and not _is_picture(video)}
    for video in listed:
        if video.file is not None and video.name in with_frames:
            leftovers.files_with_frames.append(video.file)
        elif _is_picture(video) and alike[_stem(video)] == 1:
            yield FoundVideo(_stem(video), images=video.images)
        else:
            yield video


def _is_picture(video: FoundVideo) -> bool:
    return len(video.images) == 1 and video.images[0].name == video.name


def _stem(video: FoundVideo) -> str:
    return video.images[0].stem if _is_picture(video) else video.name
