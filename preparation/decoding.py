"""Evenly spaced frames of a video file, the same on every machine.

Decoding runs in one thread without hardware, and colours are converted by swscale's exact code, so that neither the
processor nor its number of cores shows in a pixel. Where a stream does not say by which matrix its colours were made,
BT.601 is taken, as FFmpeg and OpenCV do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from export.errors import VideoError
from preparation.color_conversion import RgbConverter
from preparation.video_reader import VideoReader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

_MOST_HELD_BYTES = 256 << 20
_BYTES_PER_PIXEL = 3


@dataclass(frozen=True, eq=False)
class Frame:
    """A decoded frame.

    Attributes:
        index: Its number in the video, from 0.
        pixels: Upright RGB pixels, shape (height, width, 3).
    """

    index: int
    pixels: NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class DecodedVideo:
    """What was taken of a video.

    Attributes:
        frames: The chosen frames in the order of time; to be read once.
        length: Number of frames that decode.
        damage: What does not decode; empty if all does.
    """

    frames: Iterator[Frame]
    length: int
    damage: str = ""


def spaced_indices(length: int, count: int) -> list[int]:
    """Returns `count` of the numbers 0 .. length - 1, evenly spaced from the first to the last, or all if fewer.

    Fractions are cut off, as by the data loaders of Self-Blended Images and of the DFDC's winner.
    """
    return list(range(length)) if length <= count else np.linspace(0, length - 1, count, dtype=int).tolist()


def frames_of_video(path: Path, count: int, go_on: Callable[[], None] = lambda: None) -> DecodedVideo:
    """Decodes `count` frames, evenly spaced from the first to the last that decodes, or all if there are fewer.

    Frames are counted by decoding, because what files say of their length is often wrong. Those that would be right if
    it were true are held meanwhile, unless they are large; else the file is decoded a second time.

    Args:
        path: The file.
        count: Number of frames.
        go_on: Called now and then; may raise to give up.

    Raises:
        VideoError: The file is missing, empty, damaged from the start or holds no video. Reading the frames may raise
            it, too.
        BackendError: PyAV is not installed.
    """
    reader = VideoReader(path)
    fits = count * reader.area * _BYTES_PER_PIXEL <= _MOST_HELD_BYTES
    candidates = set(spaced_indices(reader.stated_length(), count)) if fits else set()
    held: dict[int, Any] = {}
    length = 0
    for frame in reader.frames(go_on):
        if length in candidates:
            held[length] = frame
        length += 1
    damage = reader.damage(length)
    if length == 0:
        raise VideoError(f"no frame of {path} decodes ({damage or 'it has none'}); {reader.remedy}")
    chosen = spaced_indices(length, count)
    known = held.keys() >= set(chosen)
    numbered = ((index, held[index]) for index in chosen) if known else _decoded_again(reader, chosen, go_on)
    return DecodedVideo(_converted(reader, numbered), length, damage)


def _decoded_again(reader: VideoReader, chosen: Sequence[int], go_on: Callable[[], None]) -> Iterator[tuple[int, Any]]:
    wanted = set(chosen)
    for index, frame in enumerate(reader.frames(go_on)):
        if index in wanted:
            yield index, frame
        if index == chosen[-1]:
            return


def _converted(reader: VideoReader, numbered: Iterable[tuple[int, Any]]) -> Iterator[Frame]:
    to_rgb = RgbConverter()
    for index, frame in numbered:
        yield Frame(index, reader.pixels_of(frame, to_rgb))
