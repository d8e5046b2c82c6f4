"""The hair of a drawn person, behind the head and over the forehead."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from demo.texture import band_noise, disc, falloff, painted, power_law_noise

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from demo.identity import Identity
    from demo.portrait import Frame


def hair_behind(
    canvas: NDArray[np.floating], person: Identity, u: NDArray[np.floating], v: NDArray[np.floating], soft: float
) -> NDArray[np.floating]:
    """Draws the hair that lies behind the head."""
    width, height = person.head_width, person.head_height
    if person.hair_style == "long":
        crown = disc(u, v + 0.12, width * 1.3, height * 1.05, 2.4, soft)
        mask = np.maximum(crown, disc(u, v - 0.45, width * 1.22, 0.75, 3, soft))
    elif person.hair_style == "bob":
        mask = disc(u, v + 0.02, width * 1.33, height * 1.05, 2.8, soft)
    elif person.hair_style == "curly":
        angle = np.arctan2(v + 0.2, u)
        wobble = 0.03 * np.abs(np.sin(9 * angle + person.seed)) + 0.02 * np.abs(np.sin(14 * angle))
        mask = falloff(np.hypot(u / 1.0, (v + 0.24) / 0.95) - (width * 1.22 + wobble), soft * 2)
    else:
        mask = disc(u, v + 0.15, width * 1.08, height * 0.98, 2.2, soft)
    return painted(canvas, np.array(person.hair, np.float32) * 0.62, mask)


def hair_in_front(
    canvas: NDArray[np.floating],
    person: Identity,
    frame: Frame,
    u: NDArray[np.floating],
    v: NDArray[np.floating],
    soft: float,
) -> NDArray[np.floating]:
    """Draws the hair that falls over the forehead, and its shadow."""
    rng = np.random.default_rng([person.seed, 6])
    size = u.shape[0]
    width, height = person.head_width, person.head_height
    cap = disc(u, v + 0.06, width * 1.09, height * 1.05, 2.25, soft)
    forehead = {"cropped": 0.40, "side parting": 0.36, "long": 0.38, "bob": 0.27, "curly": 0.34, "receding": 0.50}
    line = -forehead[person.hair_style] * height / 0.66
    if person.hair_style == "receding":
        temples = 0.12 * np.exp(-((np.abs(u) - 0.24) ** 2) / 0.012)
        edge = line - temples + 1.65 * np.clip(np.abs(u) - 0.36, 0, 1)
    elif person.hair_style == "side parting":
        edge = line + 0.20 * (u + 0.12) * np.sign(rng.random() - 0.5) + 1.3 * u**2
    elif person.hair_style == "bob":
        edge = line + 0.02 * np.sin(40 * u) + 4.5 * np.clip(np.abs(u) - 0.30, 0, 1) ** 1.2
    elif person.hair_style == "long":
        edge = line - 0.16 * np.exp(-((u / 0.07) ** 2)) + 5.0 * np.clip(np.abs(u) - 0.27, 0, 1) ** 1.15
    else:
        edge = line + 0.015 * np.sin(35 * u + person.seed) + 1.6 * u**2
    mask = cap * falloff(v - edge, soft * 3)
    curls = 1.0 if person.hair_style == "curly" else 5.0
    strands = 1 + 0.13 * band_noise(rng, size, 0.13, 0.8, curls) + 0.08 * power_law_noise(rng, size, 1.0)
    gloss = 1 + 0.5 * np.exp(-(((v + height * 0.72) / 0.10) ** 2)) * (0.5 + 0.5 * frame.light[2])
    colour = np.array(person.hair, np.float32) * (strands * gloss)[..., None]
    canvas = painted(canvas, canvas * 0.75, cap * falloff(v - edge - 0.03, 0.09), 0.6)
    return painted(canvas, np.clip(colour, 0, 1).astype(np.float32), mask)
