"""The CSV files in which scores are kept; metrics, report and verdict are derived from them.

    scores.csv  sample,label,score,path         one line per video; the path is empty where it has no face
    frames.csv  video,label,logit,frame,path    one line per face; the frame is empty where it has no other face

Label 1 is fake and 0 is real. Numbers are written so that they read back bit for bit.
"""

from __future__ import annotations

import csv
import io
import math
from typing import TYPE_CHECKING

from evaluate.scores import FrameScore, ScoreSet, VideoScore
from export.errors import DataError
from export.sidecar import write_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

VIDEO_COLUMNS = ("sample", "label", "score", "path")
FRAME_COLUMNS = ("video", "label", "logit", "frame", "path")


def write_scores(path: Path, scores: ScoreSet) -> None:
    """Writes the videos' scores atomically."""
    rows = [(video.sample, int(video.is_fake), repr(video.score), video.path) for video in scores.videos]
    _write_rows(path, VIDEO_COLUMNS, rows)


def read_scores(path: Path) -> ScoreSet:
    """Reads what `write_scores` wrote.

    Raises:
        DataError: The file is missing, or a column, label or number is not what was written, or a sample is listed
            twice; the message names the line.
    """
    videos = []
    seen: set[str] = set()
    for place, (sample, label, number, frame) in _read_rows(path, VIDEO_COLUMNS):
        score = _number(place, number)
        if not 0.0 <= score <= 1.0:
            raise DataError(f"{place}: score {number}; expected a number in [0, 1]")
        _require_new(place, sample, seen)
        videos.append(VideoScore(sample, _is_fake(place, label), score, frame))
    return ScoreSet(tuple(videos))


def write_frame_scores(path: Path, frames: Iterable[FrameScore]) -> None:
    """Writes the frames' logits atomically."""
    rows = [(frame.video, int(frame.is_fake), repr(frame.logit), frame.frame, frame.path) for frame in frames]
    _write_rows(path, FRAME_COLUMNS, rows)


def read_frame_scores(path: Path) -> tuple[FrameScore, ...]:
    """Reads what `write_frame_scores` wrote.

    Raises:
        DataError: As for `read_scores`; here it is the image's path that must be unique.
    """
    frames = []
    seen: set[str] = set()
    for place, (video, label, number, frame, image) in _read_rows(path, FRAME_COLUMNS):
        _require_new(place, image, seen)
        frames.append(FrameScore(image, video, _is_fake(place, label), _number(place, number), frame))
    return tuple(frames)


def _write_rows(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    write_text(path, text.getvalue())


def _read_rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Yields `file:line` and the fields of each row."""
    if not path.is_file():
        raise DataError(f"no scores at {path}; run evaluate-engines to make them")
    with path.open(encoding="utf-8", newline="") as stream:
        reader = csv.reader(stream, strict=True)
        try:
            header = next(reader, [])
            if tuple(header) != tuple(columns):
                raise DataError(
                    f"{path}: columns {','.join(header)}; expected {','.join(columns)}: delete it to have it made again"
                )
            for row in reader:
                place = f"{path}:{reader.line_num}"
                if len(row) != len(columns):
                    raise DataError(f"{place}: {len(row)} fields; expected {len(columns)}")
                yield place, row
        except (csv.Error, UnicodeDecodeError) as error:
            raise DataError(f"{path} is not a CSV file ({error}); delete it to have it made again") from error


def _is_fake(place: str, label: str) -> bool:
    if label not in ("0", "1"):
        raise DataError(f"{place}: label {label!r}; expected 1 for fake or 0 for real")
    return label == "1"


def _number(place: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise DataError(f"{place}: {text!r} is not a number") from None
    if not math.isfinite(number):
        raise DataError(f"{place}: {text} where a finite number is expected; the engine computes garbage")
    return number


def _require_new(place: str, name: str, seen: set[str]) -> None:
    if name in seen:
        raise DataError(f"{place}: {name} is listed twice; delete the file to have it made again")
    seen.add(name)
