"""A drawn person: everything that stays the same from frame to frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Colour = tuple[float, float, float]

# From dark to light; between them tones are interpolated.
_SKIN = np.array([[0.27, 0.17, 0.13], [0.44, 0.29, 0.21], [0.63, 0.45, 0.33], [0.80, 0.61, 0.48], [0.91, 0.76, 0.66]])
_HAIR = np.array([[0.07, 0.06, 0.06], [0.19, 0.12, 0.08], [0.37, 0.23, 0.13], [0.66, 0.49, 0.27], [0.52, 0.50, 0.49]])
_IRIS = np.array([[0.20, 0.12, 0.07], [0.33, 0.22, 0.10], [0.30, 0.42, 0.52], [0.33, 0.43, 0.30], [0.40, 0.45, 0.48]])
SHORT_STYLES = ("cropped", "side parting", "curly", "receding")
LONG_STYLES = ("side parting", "long", "bob", "curly")


@dataclass(frozen=True)
class Identity:
    """Geometry in units of half the image's width at scale 1, colours as RGB in [0, 1].

    Attributes:
        seed: Fixes moles, strands and other detail.
        skin: Skin colour.
        hair: Hair colour.
        iris: Eye colour.
        lips: Lip colour.
        hair_style: One of `SHORT_STYLES` or `LONG_STYLES`.
        head_width: Half width of the head.
        head_height: Half height of the head.
        jaw: Narrowing of the lower face, 0 (round) to 1 (pointed).
        eye_spacing: Distance of each eye from the middle.
        eye_height: Height of the eyes above the middle of the head.
        eye_size: Half width of an eye.
        eye_tilt: Slant of the eyes.
        brow_height: Distance of the brows above the eyes.
        brow_thickness: Half thickness of the brows.
        brow_arch: Bend of the brows.
        nose_length: Distance of the nose's tip below the eyes.
        nose_width: Half width of the nose.
        mouth_drop: Distance of the mouth below the nose's tip.
        mouth_width: Half width of the mouth.
        lip_fullness: Half height of the lips.
        beard: Density of a beard, 0 to 1.
        freckles: Density of freckles, 0 to 1.
    """

    seed: int
    skin: Colour
    hair: Colour
    iris: Colour
    lips: Colour
    hair_style: str
    head_width: float
    head_height: float
    jaw: float
    eye_spacing: float
    eye_height: float
    eye_size: float
    eye_tilt: float
    brow_height: float
    brow_thickness: float
    brow_arch: float
    nose_length: float
    nose_width: float
    mouth_drop: float
    mouth_width: float
    lip_fullness: float
    beard: float
    freckles: float


def identity_from_seed(seed: int) -> Identity:
    """Draws a person; equal seeds give the same person."""
    rng = np.random.default_rng([seed, 1])
    skin = _blended(_SKIN, rng.uniform(0, 4)) * rng.normal(1.0, 0.03, 3)
    hair = _blended(_HAIR, rng.choice([rng.uniform(0, 2), rng.uniform(2, 4)], p=[0.65, 0.35]))
    masculine = rng.random() < 0.5
    return Identity(
        seed=seed,
        skin=_colour(skin),
        hair=_colour(hair * rng.uniform(0.85, 1.15)),
        iris=_colour(_blended(_IRIS, rng.uniform(0, 4))),
        lips=_colour(skin * (0.85, 0.62, 0.62) + (0.06, 0.0, 0.01)),
        hair_style=str(rng.choice(SHORT_STYLES if masculine else LONG_STYLES)),
        head_width=rng.uniform(0.46, 0.54),
        head_height=rng.uniform(0.62, 0.70),
        jaw=rng.uniform(0.15, 0.55) if masculine else rng.uniform(0.35, 0.8),
        eye_spacing=rng.uniform(0.19, 0.235),
        eye_height=rng.uniform(0.06, 0.13),
        eye_size=rng.uniform(0.085, 0.112),
        eye_tilt=rng.uniform(-0.12, 0.22),
        brow_height=rng.uniform(0.105, 0.15),
        brow_thickness=rng.uniform(0.016, 0.03) * (1.15 if masculine else 0.8),
        brow_arch=rng.uniform(0.1, 0.6),
        nose_length=rng.uniform(0.21, 0.29),
        nose_width=rng.uniform(0.065, 0.10),
        mouth_drop=rng.uniform(0.13, 0.18),
        mouth_width=rng.uniform(0.13, 0.18),
        lip_fullness=rng.uniform(0.022, 0.042),
        beard=float(masculine and rng.random() < 0.35) * rng.uniform(0.25, 0.8),
        freckles=float(rng.random() < 0.2) * rng.uniform(0.3, 1.0),
    )


def _blended(palette: NDArray[np.float64], position: float) -> NDArray[np.float64]:
    lower = min(int(position), len(palette) - 2)
    fraction = position - lower
    blend: NDArray[np.float64] = palette[lower] * (1 - fraction) + palette[lower + 1] * fraction
    return blend


def _colour(values: NDArray[np.float64]) -> Colour:
    r, g, b = np.clip(values, 0.02, 0.97)
    return float(r), float(g), float(b)
