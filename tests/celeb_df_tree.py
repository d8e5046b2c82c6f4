"""Small data sets laid out as Celeb-DF-v2, with images that a network can tell apart a little."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from pathlib import Path


def write_tree(root: Path, first_identity: int, videos: int = 4, frames: int = 2, seed: int = 0) -> Path:
    """Writes `videos` real, as many YouTube and as many fake videos of identities from `first_identity` on."""
    rng = np.random.default_rng([seed, first_identity])
    for index in range(videos):
        a, b = first_identity + 2 * index, first_identity + 2 * index + 1
        names = (f"Celeb-real/id{a}_0000", f"YouTube-real/{a:05d}", f"Celeb-synthesis/id{a}_id{b}_0000")
        for name in names:
            for frame in range(frames):
                write_image(root / name / f"{frame:03d}.png", rng, fake="synthesis" in name)
    return root


def write_image(path: Path, rng: np.random.Generator, fake: bool) -> None:
    """Writes a 48 x 48 image of smooth noise; fakes carry a brighter square."""
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = rng.uniform(40, 200, (6, 6, 3))
    pixels = np.kron(coarse, np.ones((8, 8, 1)))
    if fake:
        pixels[12:36, 12:36] += 35
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)
