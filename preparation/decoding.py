"""Evenly spaced frames of a video file, the same on every machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Frame:
    """A decoded frame.

    Attributes:
        index: Its number in the video, from 0.
        pixels: Upright RGB pixels, shape (height, width, 3).
    """

    index: int
    pixels: NDArray[np.uint8]


def frames_of_video(path: Path, count: int) -> tuple[Frame, ...]:
    """Decodes `count` frames, evenly spaced from the first to the last, or all if there are fewer.

    Raises:
        VideoError: The file is missing, empty, damaged or holds no video.
        BackendError: PyAV is not installed.
    """
    raise NotImplementedError
