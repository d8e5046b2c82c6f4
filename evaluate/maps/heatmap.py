"""Class-activation maps drawn over the face: red speaks for fake, blue for real, the face shows where neither does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from export.preprocessing import resized_image
from export.sidecar import write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray

    from evaluate.selection import Outcome
    from export.contract import InputContract

# The ends of ColorBrewer's RdBu, which people with any colour-vision deficiency tell apart.
FAKE_COLOUR = (202, 0, 32)
REAL_COLOUR = (5, 113, 176)
STRONGEST_ALPHA = 0.7
SMALLEST_SIDE = 224
_LIMIT_PERCENTILE = 99.0
_JPEG_QUALITY = 92


def shared_limit(maps: Iterable[NDArray[np.float32]]) -> float:
    """Returns the value at which the colour saturates, one for all heatmaps of a report so that they compare.

    It is the 99th percentile of |map| over every place of every map; a single extreme place would pale all others.
    """
    values = [np.abs(each).ravel() for each in maps]
    limit = float(np.percentile(np.concatenate(values), _LIMIT_PERCENTILE)) if values else 0.0
    return limit if limit > 0.0 else 1.0


def heatmap_from_map(
    image: Image.Image,
    contract: InputContract,
    activation_map: NDArray[np.float32],
    limit: float,
    side: int | None = None,
) -> Image.Image:
    """Blends a map with the face as the network sees it.

    Opacity grows in proportion to |value| up to `limit`, so a place without influence keeps the face's own colour.

    Args:
        image: The decoded RGB image.
        contract: Says how the network sees it.
        activation_map: Signed map, shape (h, w).
        limit: |value| of full colour, > 0; see `shared_limit`.
        side: Width of the result; None is the network's own, or 224 if that is smaller.

    Returns:
        An RGB image, as high as wide.
    """
    side = side or max(contract.size, SMALLEST_SIDE)
    face = face_at(image, contract, side)
    smooth = Image.fromarray(np.asarray(activation_map, np.float32)).resize((side, side), Image.Resampling.BICUBIC)
    return Image.fromarray(tinted(np.asarray(face), np.asarray(smooth) / limit))


def face_at(image: Image.Image, contract: InputContract, side: int) -> Image.Image:
    """Returns the face as the network sees it, at another size."""
    return resized_image(image, contract).resize((side, side), Image.Resampling.BICUBIC)


def tinted(pixels: NDArray[np.uint8], evidence: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Tints RGB pixels (h, w, 3) by evidence (h, w): -1 is full blue, 0 leaves a pixel alone, 1 is full red."""
    strength = np.clip(evidence, -1.0, 1.0)[..., None]
    alpha = STRONGEST_ALPHA * np.abs(strength)
    colour = np.where(strength > 0, np.array(FAKE_COLOUR, float), np.array(REAL_COLOUR, float))
    blended: NDArray[np.uint8] = np.rint((1.0 - alpha) * pixels + alpha * colour).astype(np.uint8)
    return blended


def heatmap_path(variant_results: Path, outcome: Outcome, sample: str) -> Path:
    """Returns where a heatmap lies under `results/<variant>`."""
    return variant_results / "result" / outcome.value / "heatmap" / f"{sample}.jpg"


def write_heatmap(path: Path, heatmap: Image.Image) -> None:
    """Writes a JPEG atomically."""
    with write_atomically(path) as temporary:
        heatmap.save(temporary, format="JPEG", quality=_JPEG_QUALITY)
