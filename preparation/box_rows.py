"""The rows of a table of boxes as they stand in the file."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from calibration.datasets.csv_table import csv_table, text_of_table
from export.errors import DataError
from preparation.face import Face

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

_SIDES = ("left", "top", "width", "height")
_EDGES = ("x1", "y1", "x2", "y2")
_POINTS = ("right_eye", "left_eye", "nose", "right_mouth", "left_mouth")
_LANDMARKS = tuple(f"{point}_{axis}" for point in _POINTS for axis in "xy")
_EXPECTED = "video, frame, left, top, width, height (or x1, y1, x2, y2), and as it may be score and landmarks"
_LARGEST_NUMBER = 1e6


@dataclass(frozen=True)
class BoxRow:
    """One row.

    Attributes:
        place: `FILE:LINE`, for messages.
        video: The video, as the table calls it.
        frame: Number of the frame, from 0; None if the row holds for all of them.
        face: The face; None if the row says that there is none.
    """

    place: str
    video: str
    frame: int | None
    face: Face | None


def rows_of_boxes(path: Path, content: bytes) -> Iterator[BoxRow]:
    """Yields the rows of a CSV, delimited by commas, semicolons or tabs, in order.

    Raises:
        DataError: The file is not UTF-8 or no CSV, a column is missing, unknown or there twice, or a field is not what
            it should be; the message names the line.
    """
    table = csv_table(path, text_of_table(path, content))
    box_columns = _box_columns(path, table.columns)
    for row in table.rows:
        place, values = row.place, row.values
        yield BoxRow(place, _video(place, values), _frame(place, values), _face(place, values, box_columns))


def _box_columns(path: Path, columns: Sequence[str]) -> tuple[str, ...]:
    unknown = [name for name in columns if name not in {"video", "frame", "score", *_SIDES, *_EDGES, *_LANDMARKS}]
    if unknown:
        raise DataError(f"{path} has the column {unknown[0]!r}; expected {_EXPECTED}: rename it or leave it out")
    given = [kind for kind in (_SIDES, _EDGES) if set(kind) & set(columns)]
    if "video" not in columns or len(given) != 1 or not set(given[0]) <= set(columns):
        raise DataError(f"{path} has the columns {', '.join(columns)[:200]}; expected {_EXPECTED}")
    some = [name for name in _LANDMARKS if name in columns]
    if some and len(some) < len(_LANDMARKS):
        absent = next(name for name in _LANDMARKS if name not in columns)
        raise DataError(f"{path} has the column {some[0]} and none {absent}; expected all of {', '.join(_LANDMARKS)}")
    return given[0]


def _video(place: str, row: Mapping[str, str]) -> str:
    video = row["video"].replace("\\", "/").removeprefix("./").strip("/")
    if not video:
        raise DataError(f"{place}: no video; expected its name, such as Celeb-real/id0_0000")
    return video


def _frame(place: str, row: Mapping[str, str]) -> int | None:
    text = row.get("frame", "")
    if text and not (text.isascii() and text.isdigit() and len(text) < 10):
        raise DataError(f"{place}: frame {text!r}; expected its number in the video, from 0, or nothing for all frames")
    return int(text) if text else None


def _face(place: str, row: Mapping[str, str], columns: tuple[str, ...]) -> Face | None:
    if not any(row[name] for name in columns):
        return None
    left, top, width, height = (_number(place, name, row[name]) for name in columns)
    if columns == _EDGES:
        width, height = width - left, height - top
    if not (width > 0 and height > 0):
        raise DataError(f"{place}: the box is {width:g} x {height:g} pixels; expected a positive width and height")
    score = _number(place, "score", row["score"]) if row.get("score") else 1.0
    if not 0 <= score <= 1:
        raise DataError(f"{place}: score {score:g}; expected a confidence from 0 to 1")
    if not any(row.get(name) for name in _LANDMARKS):
        return Face(left, top, width, height, score)
    numbers = [_number(place, name, row[name]) for name in _LANDMARKS]
    return Face(left, top, width, height, score, tuple(zip(numbers[::2], numbers[1::2], strict=True)))


def _number(place: str, name: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    # NaN is no number of pixels either, and no comparison holds for it.
    if not abs(number) <= _LARGEST_NUMBER:
        raise DataError(f"{place}: {name} is {text!r}; expected a number")
    return number
