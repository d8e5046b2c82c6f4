"""From a frame and its faces to the crops that the detector sees."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    from export.face_contract import FaceContract
    from preparation.face import Face


def chosen_faces(faces: Sequence[Face], contract: FaceContract) -> tuple[Face, ...]:
    """Returns the faces that the contract takes, the largest first: confident enough, and one of them or all."""
    raise NotImplementedError


def crop_of_face(frame: NDArray[np.uint8], face: Face, contract: FaceContract) -> Image.Image:
    """Cuts a face out of an RGB frame of shape (height, width, 3); what lies outside of the frame is black."""
    raise NotImplementedError
