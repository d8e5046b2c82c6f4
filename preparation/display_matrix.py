"""Turns frames upright: cameras store them as their sensor lies, with a matrix that says how to show them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def upright(pixels: NDArray[np.uint8], frame: Any) -> NDArray[np.uint8]:
    """Returns pixels (height, width, 3) as the display matrix of their frame of PyAV says, to the nearest right angle.

    The matrix maps x to (a, b) and y to (c, d) (ISO/IEC 14496-12, 8.3.2).
    """
    matrix = _matrix_of(frame)
    if matrix is None:
        return pixels
    a, b, c, d = (int(matrix[index]) for index in (0, 1, 3, 4))
    if abs(a) + abs(d) >= abs(b) + abs(c):
        down, right = d, a
    else:
        pixels, down, right = pixels.transpose(1, 0, 2), b, c
    return np.ascontiguousarray(pixels[:: -1 if down < 0 else 1, :: -1 if right < 0 else 1])


def _matrix_of(frame: Any) -> NDArray[np.int32] | None:
    for data in frame.side_data:
        if data.type.name == "DISPLAYMATRIX":
            return np.frombuffer(bytes(data), np.int32)
    return None
