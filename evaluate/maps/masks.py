"""Masks of what a fake's maker changed, where the test set has them.

    DATA/Celeb-synthesis/id37_id3_0004/000.jpg     the frame
    DATA/masks/Celeb-synthesis/id37_id3_0004/000.png    its mask, of the same size: black where nothing was changed

Celeb-DF has none; the faces that `signoff-demo` draws do. No reader of frames looks into `masks`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from export.errors import DataError
from export.preprocessing import image_from_file, resized_image

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from export.contract import InputContract

FOLDER = "masks"


def mask_of(frame: str, data_root: Path, contract: InputContract) -> NDArray[np.bool_] | None:
    """Returns where a frame was changed, as the network sees it: bool of shape (size, size).

    Args:
        frame: Path of the frame relative to the data root.
        data_root: The test set.
        contract: How the network sees images.

    Returns:
        The mask, or None where the frame has none.

    Raises:
        DataError: The mask has another size than the frame.
        ImageError: One of them does not decode.
    """
    path = (data_root / FOLDER / frame).with_suffix(".png")
    # A frame elsewhere has none: followed from the folder of masks, its path would lead to itself.
    is_elsewhere = Path(frame).is_absolute() or ".." in Path(frame).parts
    if is_elsewhere or not path.is_file():
        return None
    mask, size = image_from_file(path), image_from_file(data_root / frame).size
    if mask.size != size:
        raise DataError(f"the mask {path} is {mask.size} pixels large and its frame {size}; draw it at that size")
    # Resized as the frame is, but without values between changed and unchanged.
    changed = Image.fromarray(np.asarray(mask).max(axis=-1) > 0).convert("RGB")
    return np.asarray(resized_image(changed, replace(contract, interpolation="nearest")))[..., 0] > 0
