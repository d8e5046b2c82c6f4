"""The camera between a scene and its file: optics, sensor noise and JPEG."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Camera:
    """A camera; a video keeps one.

    Attributes:
        blur: Standard deviation of the optical blur, in pixels.
        shot_noise: Noise that grows with the square root of the signal.
        read_noise: Noise that is there in the dark.
        quality: JPEG quality of the file.
    """

    blur: float
    shot_noise: float
    read_noise: float
    quality: int


def camera_from_seed(seed: int) -> Camera:
    """Draws a camera."""
    rng = np.random.default_rng([seed, 7])
    return Camera(
        blur=float(rng.uniform(0.45, 0.75)),
        shot_noise=float(rng.uniform(0.010, 0.028)),
        read_noise=float(rng.uniform(0.003, 0.008)),
        quality=int(rng.integers(84, 96)),
    )


def exposed(scene: NDArray[np.float32], camera: Camera, rng: np.random.Generator) -> NDArray[np.float32]:
    """Returns the scene (h, w, 3) as the sensor sees it: blurred, with Poisson-Gaussian noise."""
    seen = gaussian_filter(scene, (camera.blur, camera.blur, 0))
    deviation = np.sqrt(camera.read_noise**2 + camera.shot_noise**2 * np.clip(seen, 0, 1))
    noisy: NDArray[np.floating] = np.clip(seen + deviation * rng.standard_normal(seen.shape), 0, 1)
    return noisy.astype(np.float32)


def jpeg_bytes(pixels: NDArray[np.float32], quality: int) -> bytes:
    """Returns the JPEG file of an RGB image in [0, 1]."""
    stream = io.BytesIO()
    image = Image.fromarray(np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8))
    image.save(stream, format="JPEG", quality=quality, subsampling=0)
    return stream.getvalue()
