"""Small real videos whose frames carry their number, so that a test can tell which of them it got."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

HEIGHT, WIDTH = 48, 64
_BITS = 8


def numbered_frame(number: int, height: int = HEIGHT, width: int = WIDTH) -> NDArray[np.uint8]:
    """Draws a number below 256 as eight dark or bright columns, over a floor that is darker than half grey."""
    pixels = np.full((height, width, 3), 60, np.uint8)
    for bit in range(_BITS):
        left, right = bit * width // _BITS, (bit + 1) * width // _BITS
        pixels[: height * 2 // 3, left:right] = 220 if number >> bit & 1 else 20
    return pixels


def number_of(pixels: NDArray[np.uint8]) -> int:
    """Reads the number of an upright frame."""
    height, width = pixels.shape[:2]
    middles = [(2 * bit + 1) * width // (2 * _BITS) for bit in range(_BITS)]
    return sum(int(pixels[height // 6 : height // 2, x].mean() > 128) << bit for bit, x in enumerate(middles))


def write_video(
    path: Path,
    frames: Sequence[NDArray[np.uint8]],
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    times: Sequence[int] | None = None,
    rotation: int = 0,
    options: Mapping[str, str] | None = None,
    container: Mapping[str, str] | None = None,
) -> Path:
    """Encodes RGB frames of shape (height, width, 3).

    Args:
        path: Where to; its suffix chooses the container.
        frames: The frames.
        codec: Encoder.
        pixel_format: What it is given.
        times: When each frame is shown, in hundredths of a second; None for 25 frames per second.
        rotation: Degrees counterclockwise by which a player turns the frames.
        options: Of the encoder.
        container: Options of the container.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", options=dict(container or {})) as output:
        stream: Any = output.add_stream(codec, rate=25, options=dict(options or {}))
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pixel_format
        stream.codec_context.time_base = Fraction(1, 100)
        if rotation:
            stream.set_display_rotation(rotation)
        for index, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), "rgb24")
            frame.time_base = Fraction(1, 100)
            frame.pts = times[index] if times is not None else 4 * index
            for packet in stream.encode(frame):
                output.mux(packet)
        for packet in stream.encode():
            output.mux(packet)
    return path


def write_numbered(path: Path, count: int, **settings: Any) -> Path:
    """Encodes the frames 0 .. count - 1; see `write_video` for the settings."""
    return write_video(path, [numbered_frame(number) for number in range(count)], **settings)
