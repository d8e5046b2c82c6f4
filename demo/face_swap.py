"""Face swaps: another person's inner face, fitted, recoloured and blended into a real frame.

The recipe follows the idea of Self-Blended Images (Shiohara and Yamasaki, CVPR 2022, arXiv 2204.08376): a detector
learns from what any swap leaves behind, which is a fit that is not perfect, a resolution and noise that differ, a
colour that almost matches and a boundary that is soft. Here the source is another identity, as in Celeb-DF.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import affine_transform, gaussian_filter, map_coordinates, zoom

from demo.texture import disc

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from demo.portrait import Portrait


# Below it a swap leaves less than the camera's noise, and the label is all that tells it from a real frame.
FAINTEST = 0.12


@dataclass(frozen=True)
class Forgery:
    """How a fake video was made; a video keeps it.

    Attributes:
        shift: Misfit of the pasted face, as a share of the image's width.
        stretch: Misfit of its size, as a factor.
        detail: Resolution of the pasted face as a share of the frame's, at most 1.
        colour_match: How much of the colour difference was removed, 0 to 1.
        feather: Softness of the boundary, as a share of the image's width.
        blend: Opacity of the pasted face, 0 to 1.
        elastic: Irregularity of the boundary, as a share of the image's width.
        reach: Size of the pasted area as a factor of the inner face.
    """

    shift: tuple[float, float]
    stretch: float
    detail: float
    colour_match: float
    feather: float
    blend: float
    elastic: float
    reach: float


def forgery_from_seed(seed: int, severity: float) -> Forgery:
    """Draws a forgery; `severity` from 0 (a master's) to 1 (a beginner's) scales every flaw."""
    rng = np.random.default_rng([seed, 8])
    angle = rng.uniform(0, 2 * np.pi)
    distance = severity * rng.uniform(0.005, 0.02)
    return Forgery(
        shift=(float(distance * np.cos(angle)), float(distance * np.sin(angle))),
        stretch=float(1 + severity * rng.uniform(-0.05, 0.05)),
        detail=float(1 - severity * rng.uniform(0.35, 0.6)),
        colour_match=float(1 - severity * rng.uniform(0.05, 0.3)),
        feather=float(rng.uniform(0.04, 0.09) - 0.025 * severity),
        blend=float(rng.uniform(FAINTEST, 1.0)),
        elastic=float(rng.uniform(0.01, 0.03)),
        reach=float(rng.uniform(0.92, 1.08)),
    )


def severity_from_seed(seed: int, easiest: float, hardest: float) -> float:
    """Draws how visible a forgery is, evenly between two limits."""
    return float(np.random.default_rng([seed, 9]).uniform(hardest, easiest))


def swapped(
    target: NDArray[np.floating],
    source: NDArray[np.floating],
    portrait: Portrait,
    forgery: Forgery,
    rng: np.random.Generator,
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Pastes the inner face of a source frame into a target frame of the same pose.

    Args:
        target: The frame to forge, (size, size, 3) in [0, 1], as its camera saw it.
        source: The other person in the target's pose, as another camera saw them.
        portrait: The target's drawing, for the head's coordinates.
        forgery: How to forge.
        rng: Draws the boundary's shape.

    Returns:
        The fake, and the mask (size, size) in [0, 1] of what was changed and how much.
    """
    mask = manipulation_mask(portrait, forgery, rng)
    pasted = _coarser(_misfit(source, forgery), forgery.detail)
    pasted = _recoloured(pasted, target, mask, forgery.colour_match)
    weight = (forgery.blend * mask)[..., None]
    fake = (1 - weight) * target + weight * pasted
    return np.clip(fake, 0, 1).astype(np.float32), weight[..., 0].astype(np.float32)


def manipulation_mask(portrait: Portrait, forgery: Forgery, rng: np.random.Generator) -> NDArray[np.floating]:
    """Returns the soft, irregular area from the brows to below the mouth, in the target's pose."""
    size = portrait.u.shape[0]
    inner = disc(portrait.u, portrait.v - 0.06, 0.36 * forgery.reach, 0.34 * forgery.reach, 2.6, 0.02)
    amplitude = forgery.elastic * size
    bend = [amplitude * _smooth_field(rng, size, size / 9) for _ in range(2)]
    rows, columns = np.mgrid[0:size, 0:size].astype(np.float32)
    warped = map_coordinates(inner, [rows + bend[0], columns + bend[1]], order=1, mode="nearest")
    feathered = gaussian_filter(warped, forgery.feather * size / 2)
    # A Gaussian has no end; the mask has, so that what it leaves out is untouched.
    mask: NDArray[np.floating] = np.clip((feathered - 0.02) / 0.96, 0, 1).astype(np.float32)
    return mask


def _smooth_field(rng: np.random.Generator, size: int, smoothness: float) -> NDArray[np.floating]:
    field = gaussian_filter(rng.standard_normal((size, size)), smoothness)
    scaled: NDArray[np.floating] = (field / max(float(np.abs(field).max()), 1e-9)).astype(np.float32)
    return scaled


def _misfit(source: NDArray[np.floating], forgery: Forgery) -> NDArray[np.floating]:
    size = source.shape[0]
    centre = (size - 1) / 2
    matrix = np.diag([1 / forgery.stretch] * 2)
    offset = centre - centre / forgery.stretch + np.array(forgery.shift[::-1]) * size
    moved = [affine_transform(source[..., c], matrix, offset, order=1, mode="nearest") for c in range(3)]
    return np.stack(moved, axis=-1).astype(np.float32)


def _coarser(image: NDArray[np.floating], detail: float) -> NDArray[np.floating]:
    """Throws away fine detail, as a generator of lower resolution does."""
    size = image.shape[0]
    small = zoom(gaussian_filter(image, (0.5 / detail - 0.5, 0.5 / detail - 0.5, 0)), (detail, detail, 1), order=1)
    factors = (size / small.shape[0], size / small.shape[1], 1)
    enlarged: NDArray[np.floating] = np.clip(zoom(small, factors, order=1), 0, 1)
    return enlarged.astype(np.float32)


def _recoloured(
    pasted: NDArray[np.floating], target: NDArray[np.floating], mask: NDArray[np.floating], amount: float
) -> NDArray[np.floating]:
    """Moves mean and deviation of each channel under the mask towards the target's (Reinhard et al. 2001)."""
    weights = mask[..., None] / max(float(mask.sum()), 1e-9)
    mean_p, mean_t = (weights * pasted).sum((0, 1)), (weights * target).sum((0, 1))
    std_p = np.sqrt((weights * (pasted - mean_p) ** 2).sum((0, 1)))
    std_t = np.sqrt((weights * (target - mean_t) ** 2).sum((0, 1)))
    matched = (pasted - mean_p) * (std_t / np.maximum(std_p, 1e-6)) + mean_t
    blend: NDArray[np.floating] = np.clip(pasted + amount * (matched - pasted), 0, 1)
    return blend.astype(np.float32)
