"""What a folder of videos holds: video files, folders of frames, and files of other kinds."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from export.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Container, Iterator
    from pathlib import Path

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif"})
VIDEO_SUFFIXES = frozenset({".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv", ".flv"})
# Folders that projects put between a class and its videos; they are no part of a video's name.
PASSED_THROUGH = frozenset({"videos", "frames", "images", "faces"})
# What projects keep beside the frames: points of faces, swapped regions, boxes of faces.
BESIDE_FRAMES = frozenset({"landmarks", "masks", "retina"})
_DIGITS = re.compile(r"(\d+)")


@dataclass(frozen=True)
class FoundVideo:
    """A video: its name without suffix, and its file or its images in the order of time."""

    name: str
    file: Path | None = None
    images: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Listing:
    """What lies right in a folder, by kind."""

    folders: tuple[Path, ...]
    images: tuple[Path, ...]
    videos: tuple[Path, ...]
    others: tuple[Path, ...]


@dataclass
class Leftovers:
    """What a reader leaves out; the notes of a set tell of it."""

    other_files: list[Path] = field(default_factory=list)
    empty_folders: list[Path] = field(default_factory=list)
    files_with_frames: list[Path] = field(default_factory=list)

    def notes(self) -> tuple[str, ...]:
        """Returns a sentence for each kind, with a count and an example."""
        told = (
            (self.other_files, "files of other kinds, left out"),
            (self.empty_folders, "folders without images, left out"),
            (self.files_with_frames, "video files left out because there are frames of them"),
        )
        return tuple(counted(len(paths), text, paths[0]) for paths, text in told if paths)


def counted(number: int, text: str, example: object) -> str:
    """Returns a note such as `files of other kinds, left out: 3, such as DATA/notes.txt`."""
    return f"{text}: {number}, such as {example}"


def listing(folder: Path) -> Listing:
    """Lists a folder in the order of names, numbers by their value, without hidden litter such as `._000.jpg`.

    Raises:
        DataError: The folder cannot be read.
    """
    folders: list[Path] = []
    images: list[Path] = []
    videos: list[Path] = []
    others: list[Path] = []
    try:
        # A quarter of a million frames: asking the system about each of them would be most of the time.
        with os.scandir(folder) as listed:
            for entry in listed:
                path = folder / entry.name
                if entry.name.startswith("."):
                    continue
                kind = folders if entry.is_dir() else images if is_image(path) else videos if is_video(path) else others
                kind.append(path)
    except OSError as error:
        raise DataError(f"{folder} cannot be listed ({error.strerror}); check its permissions") from error
    return Listing(*(tuple(sorted(paths, key=natural_key)) for paths in (folders, images, videos, others)))


def folders_by_name(folder: Path, names: Container[str]) -> dict[str, Path]:
    """Returns lower-case name -> folder, for names that people spell as they like.

    Raises:
        DataError: Two of the folders differ by their case alone.
    """
    found: dict[str, Path] = {}
    for path in listing(folder).folders:
        if path.name.lower() not in names:
            continue
        other = found.setdefault(path.name.lower(), path)
        if other is not path:
            raise DataError(f"{other} and {path} differ by their case alone; merge them or remove one")
    return found


def natural_key(path: Path) -> tuple[list[tuple[int, str | int]], str]:
    """Sorts `2.png` before `10.png`, and by the name alone what is alike by that."""
    parts = [part for part in _DIGITS.split(path.name) if part]
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in parts], path.name


def is_image(path: Path) -> bool:
    """Tells by the suffix, in any case."""
    return path.suffix.lower() in IMAGE_SUFFIXES


def is_video(path: Path) -> bool:
    """Tells by the suffix, in any case."""
    return path.suffix.lower() in VIDEO_SUFFIXES


def videos_in(folder: Path, leftovers: Leftovers) -> tuple[FoundVideo, ...]:
    """Returns the videos of a folder, those in `videos/`, `frames/`, `images/` and `faces/` below it, too.

    Where a video has a file and frames, the frames are taken: somebody made them on purpose.

    Raises:
        DataError: A video is there twice.
    """
    found: dict[str, FoundVideo] = {}
    for video in _found(folder, leftovers):
        other = found.get(video.name)
        if other is None:
            found[video.name] = video
        elif (other.file is None) == (video.file is None):
            paths = [one.file or one.images[0].parent for one in (other, video)]
            raise DataError(f"the video {video.name} is there twice, as {paths[0]} and {paths[1]}; remove one")
        else:
            left_out = other.file or video.file
            leftovers.files_with_frames += [left_out] if left_out else []
            found[video.name] = other if video.file else video
    return tuple(found.values())


def _found(folder: Path, leftovers: Leftovers) -> Iterator[FoundVideo]:
    listed = listing(folder)
    leftovers.other_files += [*listed.others, *listed.images]
    yield from (FoundVideo(path.stem, file=path) for path in listed.videos)
    for path in listed.folders:
        name = path.name.lower()
        if name in PASSED_THROUGH:
            yield from _found(path, leftovers)
        elif name not in BESIDE_FRAMES:
            frames = listing(path)
            leftovers.other_files += [*frames.others, *frames.videos]
            if frames.images:
                yield FoundVideo(path.stem if is_video(path) else path.name, images=frames.images)
            else:
                leftovers.empty_folders.append(path)
