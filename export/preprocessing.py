"""From an image file to the network's input: the only implementation in the project."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from export.errors import ImageError
from export.image_modes import TOO_MANY_PIXELS, reason_to_refuse, rgb_from_image

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from export.contract import InputContract

# Of as many pixels as it warns of, `image_from_file` decodes none.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)

PIXEL_PEAK = 255
# What cameras, encoders and data sets write. Pillow reads more, but starts Ghostscript for PostScript, for example.
_FORMATS = ("BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
_FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


def image_from_file(path: Path) -> Image.Image:
    """Decodes an image file to RGB, upright according to its EXIF orientation.

    What the file is called does not matter, only what it holds. Colour profiles are ignored, as training pipelines
    ignore them: Display-P3 is read as if it were sRGB. `export.image_modes` says what becomes of transparency, of
    more than 8 bits and of CMYK.

    Raises:
        ImageError: The file is missing, empty, truncated, no image, an animation, of pixels without a declared range
            (floats, 32 bits), or of more than `MOST_PIXELS` pixels, which are not decoded.
    """
    try:
        with Image.open(path, formats=_FORMATS) as image:
            reason = reason_to_refuse(image)
            if not reason:
                return rgb_from_image(ImageOps.exif_transpose(image))
    except FileNotFoundError:
        raise ImageError(f"no image at {path}; was it moved after the list was made?") from None
    except UnidentifiedImageError as error:
        found = f"it is no {', '.join(_FORMATS)} file" if path.stat().st_size else "it is empty"
        raise _cannot_decode(path, found) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _cannot_decode(path, TOO_MANY_PIXELS) from error
    except MemoryError:
        raise
    # Damaged files make Pillow trip over anything: struct.error, KeyError, EOFError, OverflowError ...
    except Exception as error:
        raise _cannot_decode(path, " ".join(str(error).split()) or type(error).__name__) from error
    raise _cannot_decode(path, reason)


def _cannot_decode(path: Path, reason: str) -> ImageError:
    return ImageError(
        f"cannot decode {path} ({reason}); replace the file or pass --skip-unreadable to go on without it"
    )


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
