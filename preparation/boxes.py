"""Faces known from a table of boxes, such as another detector wrote it."""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import PurePosixPath
from statistics import median_low
from threading import Lock
from typing import TYPE_CHECKING

from export.errors import DataError
from preparation.box_rows import rows_of_boxes
from preparation.face import Face, largest_first

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class ListedVideo:
    """The rows of one video.

    Attributes:
        always: Its faces if the rows hold for all frames, else None.
        frames: Number of a listed frame -> its faces, in the order of the numbers.
    """

    always: tuple[Face, ...] | None
    frames: Mapping[int, tuple[Face, ...]]

    @cached_property
    def numbers(self) -> list[int]:
        """The listed frames."""
        return list(self.frames)

    @cached_property
    def step(self) -> int:
        """How far listed frames usually are from each other; 1 if there is only one."""
        return median_low(after - before for before, after in pairwise(self.numbers)) if len(self.numbers) > 1 else 1

    def faces(self, index: int) -> tuple[Face, ...]:
        """Returns the faces of a frame, listed or not."""
        if self.always is not None:
            return self.always
        after = bisect_left(self.numbers, index)
        nearest = min(self.numbers[max(after - 1, 0) : after + 1], key=lambda number: abs(number - index))
        return self.frames[nearest] if abs(nearest - index) < self.step else ()


class BoxTable:
    """A CSV of boxes: columns video, frame, left, top, width, height or x1, y1, x2, y2; see `preparation.box_rows`.

    A video is looked up by its name, else by the end of it that is a path: the row's `id0_0000.mp4` stands for the
    video `Celeb-real/id0_0000`, if it stands for no other. Upper and lower case are told apart only where they must be.

    A row without frame holds for all frames of its video. A frame that is not listed has the faces of the nearest one
    that is, the earlier of two, if that is nearer than listed frames usually are to each other (by the median);
    otherwise it has none. A row without coordinates says that its frame, or its video, shows no face.
    """

    name = "boxes"

    def __init__(self, path: Path) -> None:
        """Reads the table.

        Raises:
            DataError: The file is missing or not such a table, or most of its landmarks are in another order.
        """
        if not path.is_file():
            raise DataError(f"no table of boxes at {path}; pass a CSV file")
        content = path.read_bytes()
        self.sha256 = hashlib.sha256(content).hexdigest()
        self._path = path
        self._videos = _videos_of(path, content)
        self._named: dict[str, list[str]] = defaultdict(list)
        for name in self._videos:
            for spelling in _spellings(name):
                self._named[_last(spelling)].append(name)
        self._claims: dict[str, str] = {}
        self._lock = Lock()

    def faces(self, video: str, index: int, frame: NDArray[np.uint8]) -> tuple[Face, ...]:
        """Returns the faces of frame `index` of a video, the largest first; its pixels are not looked at.

        Raises:
            DataError: The table does not have the video, or it is not clear which of its rows are meant.
        """
        name = self._name_of(video)
        with self._lock:
            claimed = self._claims.setdefault(name, video)
        if claimed != video:
            raise DataError(
                f"the rows of {name} in {self._path} may stand for {claimed} and for {video}; write folder/name there"
            )
        return self._videos[name].faces(index)

    def _name_of(self, video: str) -> str:
        if video in self._videos:
            return video
        plain = video.casefold()
        candidates = self._named.get(_last(plain), ())
        same = [name for name in candidates if plain in _spellings(name)]
        ends = [name for name in candidates if any(_is_end(spelling, plain) for spelling in _spellings(name))]
        names = same or ends
        if not names:
            raise DataError(
                f"{self._path} does not list the video {video}; add its rows, or one without coordinates if it shows "
                "no face"
            )
        if len(names) > 1:
            raise DataError(
                f"{self._path} lists {' and '.join(names[:3])}: each may be {video}; write folder/name there"
            )
        return names[0]


def _videos_of(path: Path, content: bytes) -> dict[str, ListedVideo]:
    found: dict[str, dict[int | None, list[Face | None]]] = defaultdict(lambda: defaultdict(list))
    for row in rows_of_boxes(path, content):
        frames = found[row.video]
        frames[row.frame].append(row.face)
        if None in frames and len(frames) > 1:
            raise DataError(
                f"{row.place}: {row.video} has rows with a frame and rows without; expected one or the other"
            )
        if None in frames[row.frame] and len(frames[row.frame]) > 1:
            raise DataError(f"{row.place}: a frame without a face has one row without coordinates and no other row")
    if not found:
        raise DataError(f"{path} has no rows; expected one for each face")
    listed = {
        video: {frame: largest_first(face for face in faces if face) for frame, faces in frames.items()}
        for video, frames in found.items()
    }
    _require_order(path, (face for frames in listed.values() for faces in frames.values() for face in faces))
    return {
        video: ListedVideo(
            frames.get(None), dict(sorted((number, faces) for number, faces in frames.items() if number is not None))
        )
        for video, frames in listed.items()
    }


def _require_order(path: Path, faces: Iterable[Face]) -> None:
    ordered = [_in_order(face) for face in faces if face.landmarks]
    # One of a face in profile may be crossed, most of a table are not.
    if ordered and sum(ordered) * 2 < len(ordered):
        raise DataError(
            f"{path}: right and left are exchanged in {len(ordered) - sum(ordered)} of {len(ordered)} rows; right_eye "
            "and right_mouth are the person's, which an upright picture shows on its left"
        )


def _in_order(face: Face) -> bool:
    """Returns whether right and left are the person's, however the face is turned."""
    (right_x, right_y), (left_x, left_y), _, mouth_right, mouth_left = face.landmarks
    across, down = left_x - right_x, left_y - right_y
    mouth_x, mouth_y = (mouth_right[0] + mouth_left[0]) / 2, (mouth_right[1] + mouth_left[1]) / 2
    below = across * (mouth_y - (right_y + left_y) / 2) - down * (mouth_x - (right_x + left_x) / 2)
    along = across * (mouth_left[0] - mouth_right[0]) + down * (mouth_left[1] - mouth_right[1])
    return below > 0 and along > 0


def _spellings(name: str) -> tuple[str, ...]:
    """Returns a name without regard to case, as it stands and without its suffix."""
    plain = PurePosixPath(name.casefold())
    return (str(plain), str(plain.with_suffix(""))) if plain.suffix else (str(plain),)


def _last(video: str) -> str:
    return video.rsplit("/", 1)[-1]


def _is_end(one: str, other: str) -> bool:
    return one.endswith(f"/{other}") or other.endswith(f"/{one}")
