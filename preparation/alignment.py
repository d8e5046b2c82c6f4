"""Faces turned upright by five landmarks: eyes, nose and mouth of each come to lie at the same places."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from export.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from preparation.face import Face

# Right eye, left eye, nose and corners of the mouth in a square of 112 pixels, the first pixel's centre being (0, 0):
# the mean face of InsightFace and ArcFace (Deng et al., "ArcFace", CVPR 2019), by which DeepfakeBench aligns, too.
_TEMPLATE_PIXELS = 112
_TEMPLATE = ((38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041))
# The same as shares of the square's side.
TEMPLATE = (np.array(_TEMPLATE) + 0.5) / _TEMPLATE_PIXELS
# Landmarks closer together than this, on average, in pixels, are one point; a template laid over more pixels a side has
# found nothing that resembles it.
_LEAST_SCATTER = 0.1
_LARGEST_SIDE = 1e6


def similarity(source: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the turn, uniform scale and shift that take points closest to others, by least squares.

    Closed form of Umeyama, "Least-squares estimation of transformation parameters between two point patterns", PAMI
    1991; points are never mirrored.

    Args:
        source: Points, shape (N, 2), not all the same.
        target: Where they are to go, shape (N, 2).

    Returns:
        The matrix (2, 3) that takes (x, y, 1) to (x', y').
    """
    source_mean, target_mean = source.mean(axis=0), target.mean(axis=0)
    from_centre, to_centre = source - source_mean, target - target_mean
    left, strengths, right = np.linalg.svd(to_centre.T @ from_centre)
    signs = np.array([1.0, np.sign(np.linalg.det(left) * np.linalg.det(right)) or 1.0])
    turn = left @ np.diag(signs) @ right
    scale = (strengths @ signs) / np.square(from_centre).sum()
    matrix = np.empty((2, 3))
    matrix[:, :2] = scale * turn
    matrix[:, 2] = target_mean - matrix[:, :2] @ source_mean
    return matrix


def aligned_face(frame: NDArray[np.uint8], face: Face, margin: float, largest: int) -> Image.Image:
    """Cuts the square out of a frame that holds the face upright; black where it reaches out of the frame.

    The square is that of the template, widened by the margin on each side; the similarity that takes the face's
    landmarks closest to the template's says where it lies in the frame. The crop has as many pixels as the square has
    there, so that nothing is shrunk before the detector's own resize; it is sampled bicubically at the centres of its
    pixels.

    Args:
        frame: RGB pixels, shape (height, width, 3).
        face: The face, with landmarks.
        margin: Share of the template's square that is added on each side.
        largest: Most pixels a side; a larger crop is shrunk to it.

    Raises:
        DataError: The face has no landmarks, or they are not those of a face or lie outside of the frame.
    """
    if len(face.landmarks) != len(TEMPLATE):
        raise DataError(
            "faces.aligned = true needs the five landmarks of each face; add their columns to the table of boxes, find "
            "faces by a YuNet file, or declare faces.aligned = false"
        )
    landmarks = np.array(face.landmarks, dtype=np.float64)
    to_frame = _square_in_frame(landmarks, margin)
    if to_frame is None:
        raise DataError(f"the landmarks {face.landmarks} are not those of a face; check the table of boxes")
    corners = to_frame @ np.array([[0.0, 1, 1, 0], [0, 0, 1, 1], [1, 1, 1, 1]])
    height, width = frame.shape[:2]
    if (corners.max(axis=1) <= 0).any() or (corners.min(axis=1) >= (width, height)).any():
        raise DataError(
            f"the landmarks {face.landmarks} lie outside of their frame of {width} x {height}; check that the boxes "
            "belong to this video"
        )
    return _warped(frame, to_frame, max(1, round(np.hypot(*to_frame[:, 0]))), largest)


def _square_in_frame(landmarks: NDArray[np.float64], margin: float) -> NDArray[np.float64] | None:
    """Returns the matrix (2, 3) from the widened square, 0 to 1, to the frame; None if there is no such square."""
    if not np.square(landmarks - landmarks.mean(axis=0)).sum(axis=1).mean() >= _LEAST_SCATTER**2:
        return None
    matrix = similarity(landmarks, (TEMPLATE + margin) / (1 + 2 * margin))
    if not np.hypot(*matrix[:, 0]) > 1 / _LARGEST_SIDE:
        return None
    linear = np.linalg.inv(matrix[:, :2])
    return np.column_stack([linear, -linear @ matrix[:, 2]])


def _warped(frame: NDArray[np.uint8], to_frame: NDArray[np.float64], pixels: int, largest: int) -> Image.Image:
    image = Image.fromarray(frame)
    if pixels > largest:
        smaller = tuple(max(1, round(side * largest / pixels)) for side in image.size)
        to_frame = np.diag([smaller[0] / image.width, smaller[1] / image.height]) @ to_frame
        image, pixels = image.resize((smaller[0], smaller[1]), Image.Resampling.LANCZOS), largest
    # Pillow evaluates the map at the centre of each pixel of the crop, (0.5, 0.5) being that of the first.
    coefficients = to_frame / (pixels, pixels, 1)
    return image.transform(
        (pixels, pixels), Image.Transform.AFFINE, tuple(coefficients.reshape(-1)), Image.Resampling.BICUBIC
    )
