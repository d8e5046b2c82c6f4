"""From a frame and its faces to the crops that the detector sees."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from PIL import Image

from export.errors import DataError
from preparation.alignment import aligned_face
from preparation.face import largest_first

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from export.face_contract import FaceContract
    from preparation.face import Face

# No detector's input is larger; a larger crop would only be shrunk by whoever scores it.
LARGEST_CROP = 4096


def chosen_faces(faces: Sequence[Face], contract: FaceContract) -> tuple[Face, ...]:
    """Returns the faces that the contract takes, the largest first: confident enough, and one of them or all.

    Of a frame by itself, `consistent` means the largest; for a whole video see `preparation.tracking`.
    """
    confident = largest_first(face for face in faces if face.score >= contract.min_score)
    if contract.choice != "all":
        return confident[:1]
    return tuple(face for face in confident if face.area >= contract.min_area * confident[0].area)


def crop_of_face(frame: NDArray[np.uint8], face: Face, contract: FaceContract) -> Image.Image:
    """Cuts a face out of an RGB frame of shape (height, width, 3); what lies outside of the frame is black or cut off.

    A face that is not aligned is cut at whole pixels and not resampled: the widened box's sides are rounded to whole
    pixels, and so is its left upper corner, the centre being kept to half a pixel. For aligned faces see
    `preparation.alignment.aligned_face`. Only crops of more than 4096 pixels a side are shrunk, to that.

    Raises:
        DataError: The face lies outside of the frame, has no area, or is to be aligned and has no landmarks.
    """
    if not (face.width > 0 and face.height > 0 and face.is_within(frame.shape[1], frame.shape[0])):
        raise DataError(
            f"the face at left {face.left:g}, top {face.top:g}, {face.width:g} x {face.height:g} pixels lies outside "
            f"of its frame of {frame.shape[1]} x {frame.shape[0]}; check that the boxes belong to this video"
        )
    if contract.aligned:
        return aligned_face(frame, face, contract.margin, LARGEST_CROP)
    left, top, right, bottom = crop_box(face, contract)
    if contract.outside == "cut":
        left, top = max(left, 0), max(top, 0)
        right, bottom = min(right, frame.shape[1]), min(bottom, frame.shape[0])
    return _cut_out(frame, (left, top, right, bottom))


def crop_box(face: Face, contract: FaceContract) -> tuple[int, int, int, int]:
    """Returns left, top, right and bottom edge of a face's crop in pixels of the frame, whether inside of it or not."""
    width, height = face.width, face.height
    if contract.shape == "square":
        width = height = max(width, height)
    across = max(1, _rounded(width * (1 + 2 * contract.margin)))
    down = max(1, _rounded(height * (1 + 2 * contract.margin)))
    left = _rounded(face.left + face.width / 2 - across / 2)
    top = _rounded(face.top + face.height / 2 - down / 2)
    return left, top, left + across, top + down


def _cut_out(frame: NDArray[np.uint8], box: tuple[int, int, int, int]) -> Image.Image:
    left, top, right, bottom = box
    height, width = frame.shape[:2]
    inside = (max(left, 0), max(top, 0), min(right, width), min(bottom, height))
    part = Image.fromarray(frame[inside[1] : inside[3], inside[0] : inside[2]])
    shrink = min(1.0, LARGEST_CROP / max(right - left, bottom - top))
    if shrink < 1:
        part = part.resize(
            (max(1, round(part.width * shrink)), max(1, round(part.height * shrink))), Image.Resampling.LANCZOS
        )
    crop = Image.new("RGB", (max(1, round((right - left) * shrink)), max(1, round((bottom - top) * shrink))))
    crop.paste(part, (round((inside[0] - left) * shrink), round((inside[1] - top) * shrink)))
    return crop


def _rounded(number: float) -> int:
    # Halves always upwards: Python's round goes to the even one, by which a face moved by a pixel is cut otherwise.
    return math.floor(number + 0.5)
