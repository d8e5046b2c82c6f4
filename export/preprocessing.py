"""From an image file to the network's input: the only implementation in the project."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from export.errors import ImageError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from export.contract import InputContract

PIXEL_PEAK = 255
_FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


def image_from_file(path: Path) -> Image.Image:
    """Decodes an image file to RGB, upright according to its EXIF orientation.

    Raises:
        ImageError: The file is missing, truncated, not an image, or absurdly large.
    """
    try:
        with Image.open(path) as image:
            upright = ImageOps.exif_transpose(image)
            return upright if upright.mode == "RGB" else upright.convert("RGB")
    except FileNotFoundError:
        raise ImageError(f"no image at {path}; was it moved after the list was made?") from None
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ImageError(
            f"cannot decode {path} ({error}); replace the file or pass --skip-unreadable to go on without it"
        ) from error


def resized_image(image: Image.Image, contract: InputContract) -> Image.Image:
    """Returns the RGB image at the contract's size, as the network sees it before normalization."""
    target = (contract.size, contract.size)
    resample = _FILTERS[contract.interpolation]
    if contract.resize == "letterbox":
        return ImageOps.pad(image, target, method=resample)
    if contract.resize == "center-crop":
        return ImageOps.fit(image, target, method=resample)
    return image if image.size == target else image.resize(target, resample)


def pixels_from_image(image: Image.Image, contract: InputContract) -> NDArray[np.uint8]:
    """Returns the network input before normalization, uint8 of shape (size, size, 3)."""
    return np.array(resized_image(image, contract))


def normalized_pixels(pixels: NDArray[np.uint8], contract: InputContract) -> NDArray[np.float32]:
    """Returns the normalized network input, float32 (3, size, size), of RGB pixels (size, size, 3).

    A graph that normalizes by itself (`export.uint8_input`) does the same operations in the same order.
    """
    normalized = np.empty((3, *pixels.shape[:2]), np.float32)
    # Plane by plane and in place: a quarter of the time of whole arrays, which leave the cache between two operations.
    for plane, channel, mean, std in zip(
        normalized, pixels.transpose(2, 0, 1), contract.mean, contract.std, strict=True
    ):
        np.divide(channel, np.float32(PIXEL_PEAK), out=plane, dtype=np.float32)
        plane -= np.float32(mean)
        plane /= np.float32(std)
    return normalized


def array_from_image(image: Image.Image, contract: InputContract) -> NDArray[np.float32]:
    """Returns the normalized network input, float32 of shape (3, size, size)."""
    return normalized_pixels(pixels_from_image(image, contract), contract)


def pixels_from_file(path: Path, contract: InputContract) -> NDArray[np.uint8]:
    """Decodes and resizes one image file; see `image_from_file` for the errors."""
    return pixels_from_image(image_from_file(path), contract)


def array_from_file(path: Path, contract: InputContract) -> NDArray[np.float32]:
    """Decodes, resizes and normalizes one image file; see `image_from_file` for the errors."""
    return array_from_image(image_from_file(path), contract)
