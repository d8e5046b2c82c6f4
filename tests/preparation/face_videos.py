"""Small data sets of real videos, in each of which a numbered picture stands for the face."""

from __future__ import annotations

import csv
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from preparation.cli import main as prepare_data
from tests.preparation.numbered_video import HEIGHT, WIDTH, numbered_frame, write_video

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

FRAMES = 12
SIZE = (96, 128)
_PLACES = ((4, 6), (40, 50), (20, 30), (48, 64))


def frame_with_face(number: int, left: int, top: int) -> NDArray[np.uint8]:
    """Draws a face, which shows a number below 256, into a larger grey frame."""
    pixels = np.full((*SIZE, 3), 120, np.uint8)
    pixels[top : top + HEIGHT, left : left + WIDTH] = numbered_frame(number)
    return pixels


@dataclass(frozen=True)
class FaceVideos:
    """A data set, the boxes of its faces and where they are to go."""

    source: Path
    boxes: Path
    out: Path

    def prepare(self, *options: str) -> int:
        """Runs prepare-data with four frames of each video, as the boxes are."""
        given = [str(self.source), str(self.out), "--boxes", str(self.boxes), *CUT, *options]
        return prepare_data([option for option in given if option])

    def video(self, name: str) -> Path:
        """The file of a video."""
        return self.source / name


CUT = ("--frames", "4", "--margin", "0", "--shape", "box")


def write_face_videos(folder: Path, names: tuple[str, ...], first: int = 0) -> FaceVideos:
    """Writes videos of 12 frames; the face in frame i of video v shows the number 12 (v + first) + i."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "boxes.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(("video", "frame", "left", "top", "width", "height"))
        for index, name in enumerate(names):
            top, left = _PLACES[index % len(_PLACES)]
            start = FRAMES * (index + first)
            frames = [frame_with_face((start + number) % 256, left, top) for number in range(FRAMES)]
            write_video(folder / "videos" / name, frames, options={"crf": "12"})
            writer.writerow((name, "", left, top, WIDTH, HEIGHT))
    return FaceVideos(folder / "videos", folder / "boxes.csv", folder / "faces")


def first_number(names: tuple[str, ...], video: str) -> int:
    """Returns the number that the first face of a video shows."""
    return FRAMES * names.index(video) % 256


def tree_digest(root: Path) -> dict[str, str]:
    """Returns file -> digest of all that lies under a folder."""
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }
