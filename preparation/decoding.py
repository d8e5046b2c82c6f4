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
from preparation.display_matrix import upright
from preparation.video_reader import VideoReader

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
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


def frames_of_video(path: Path, count: int) -> DecodedVideo:
    """Decodes `count` frames, evenly spaced from the first to the last that decodes, or all if there are fewer.

    Frames are counted by decoding, because what files say of their length is often wrong. Those that would be right if
    it were true are held meanwhile, unless they are large; else the file is decoded a second time.

    Raises:
        VideoError: The file is missing, empty, damaged from the start or holds no video.
        BackendError: PyAV is not installed.
    """
    reader = VideoReader(path)
    held: dict[int, Any] = {}
    expected = reader.stated_length()
    fits = count * reader.pixels * _BYTES_PER_PIXEL <= _MOST_HELD_BYTES
    candidates = set(spaced_indices(expected, count)) if fits else set()
    length = 0
    for length, frame in enumerate(reader.frames(), start=1):  # the last one is what was counted
        if length - 1 in candidates:
            held[length - 1] = frame
    if length == 0:
        raise VideoError(f"no frame of {path} decodes ({reader.damage(0) or 'it has none'}); {reader.remedy}")
    chosen = spaced_indices(length, count)
    if held.keys() >= set(chosen):
        return DecodedVideo(_converted({index: held[index] for index in chosen}), length, reader.damage(length))
    return DecodedVideo(_decoded_again(reader, chosen), length, reader.damage(length))


def _converted(frames: Mapping[int, Any]) -> Iterator[Frame]:
    to_rgb = RgbConverter()
    for index, frame in frames.items():
        yield Frame(index, upright(to_rgb(frame), frame))


def _decoded_again(reader: VideoReader, chosen: list[int]) -> Iterator[Frame]:
    to_rgb, wanted = RgbConverter(), set(chosen)
    for index, frame in enumerate(reader.frames()):
        if index in wanted:
            yield Frame(index, upright(to_rgb(frame), frame))
        if index == chosen[-1]:
            return
