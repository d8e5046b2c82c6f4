"""A face in a frame, and what finds it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Face:
    """A detected face; all coordinates are pixels of the frame, the corner of its first pixel being (0, 0).

    Attributes:
        left: Left edge of its box; may lie outside of the frame, as the others may.
        top: Upper edge.
        width: Width of the box.
        height: Height of the box.
        score: Confidence of the detector, 0 to 1.
        landmarks: (x, y) of right eye, left eye, tip of the nose, right and left corner of the mouth, as the person has
            them; empty where nothing tells.
    """

    left: float
    top: float
    width: float
    height: float
    score: float = 1.0
    landmarks: tuple[tuple[float, float], ...] = ()

    @property
    def area(self) -> float:
        """Area of its box in square pixels."""
        return self.width * self.height

    def is_within(self, width: int, height: int) -> bool:
        """Returns whether its box covers at least a pixel's breadth of a frame of that size."""
        across = self.left <= width - 1 and self.left + self.width >= 1
        return across and self.top <= height - 1 and self.top + self.height >= 1


def largest_first(faces: Iterable[Face]) -> tuple[Face, ...]:
    """Returns faces by the area of their boxes; of equal ones, the first stays first."""
    return tuple(sorted(faces, key=lambda face: face.area, reverse=True))


class FaceFinder(Protocol):
    """Finds the faces of a frame."""

    name: str
    sha256: str

    def faces(self, video: str, index: int, frame: NDArray[np.uint8]) -> tuple[Face, ...]:
        """Returns the faces of a frame, the largest first.

        Args:
            video: The video's name.
            index: Number of the frame in it, from 0.
            frame: RGB pixels, shape (height, width, 3).
        """
        ...


def overlap(one: Face, other: Face) -> float:
    """Returns the intersection of two boxes over their union, 0 to 1."""
    width = min(one.left + one.width, other.left + other.width) - max(one.left, other.left)
    height = min(one.top + one.height, other.top + other.height) - max(one.top, other.top)
    shared = max(width, 0.0) * max(height, 0.0)
    whole = one.area + other.area - shared
    return shared / whole if whole > 0 else 0.0
