"""8-bit RGB of the pixels that image files hold, or why there is none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Where Pillow starts to warn of decompression bombs: 256 MiB as RGB. It refuses only twice as many.
MOST_PIXELS = 2**28 // 3
TOO_MANY_PIXELS = f"it has more than {MOST_PIXELS:,} pixels"
_TRANSPARENT = ("LA", "La", "PA", "RGBA", "RGBa")
_BITS_PER_SAMPLE, _PHOTOMETRIC, _BLACK_IS_ZERO = 258, 262, 1


def reason_to_refuse(image: Image.Image) -> str:
    """Returns why an opened image has no RGB of 8 bits, or costs too much memory; empty if it has.

    Looks at the header only.
    """
    if image.width * image.height > MOST_PIXELS:
        return TOO_MANY_PIXELS
    # A multi-picture JPEG starts with the photograph; previews of it follow.
    if image.format != "MPO" and getattr(image, "is_animated", False):
        return "it holds several pictures, an animation or pages; expected one"
    if image.mode == "F" or (image.mode == "I" and image.format == "TIFF"):
        return "its pixels are floats, signed or of 32 bits, and no file says which is white; expected 8 or 16 bits"
    if image.mode.startswith("I;16") and image.format == "TIFF":
        tags: Any = getattr(image, "tag_v2", {})
        if tags.get(_BITS_PER_SAMPLE) != (16,) or tags.get(_PHOTOMETRIC) != _BLACK_IS_ZERO:
            return "it is grayscale of 12 bits or with a white zero; expected 8 or 16 bits with a black zero"
    return ""


def rgb_from_image(image: Image.Image) -> Image.Image:
    """Returns the RGB picture of an image that `reason_to_refuse` does not refuse.

    Transparent pixels are composited on black: their colours are what an editor left behind. Of 16 bits, the upper
    8 are taken, as Pillow and OpenCV do for colours. CMYK is converted by (1 - ink) (1 - black).
    """
    if image.mode.startswith("I"):
        values: NDArray[Any] = np.asarray(image)
        return Image.fromarray((values >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in _TRANSPARENT or "transparency" in image.info:
        colours = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "black"), colours).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")
