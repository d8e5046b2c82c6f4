"""Draws a person as a lit portrait, with the landmarks of the face known exactly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from demo.features import brows, eyes, mouth, nose, turned
from demo.hair import hair_behind, hair_in_front
from demo.texture import band_noise, disc, falloff, painted, power_law_noise

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from demo.identity import Identity

HEAD_Y = 0.08


@dataclass(frozen=True)
class Frame:
    """What changes from frame to frame and between videos.

    Attributes:
        shift: Position of the head, in units of half the image's width.
        scale: Size of the head.
        roll: Tilt of the head in radians.
        yaw: Turn of the head, -1 to 1.
        gaze: Direction of the eyes, -1 to 1.
        openness: How far the eyes are open, 0 to 1.
        smile: Bend of the mouth, -1 to 1.
        mouth_open: Parting of the lips, 0 to 1.
        light: Direction towards the light (x, y, z), unit length.
        ambient: Share of light without direction, 0 to 1.
        warmth: Colour of the light, -1 (cold) to 1 (warm).
        scene: Seed of background and clothes, which a video keeps.
        detail: Seed of texture that changes with every frame.
    """

    shift: tuple[float, float]
    scale: float
    roll: float
    yaw: float
    gaze: float
    openness: float
    smile: float
    mouth_open: float
    light: tuple[float, float, float]
    ambient: float
    warmth: float
    scene: int
    detail: int


@dataclass(frozen=True)
class Portrait:
    """A drawing in linear steps of RGB.

    Attributes:
        pixels: Float32 of shape (size, size, 3), in [0, 1].
        u: Horizontal coordinate of each pixel in the head's own frame, turned with it; shape (size, size).
        v: The vertical one, downwards.
    """

    pixels: NDArray[np.floating]
    u: NDArray[np.floating]
    v: NDArray[np.floating]


def video_frames(seed: int, count: int) -> tuple[Frame, ...]:
    """Draws the conditions of a video and a small change of pose and expression for each of its frames."""
    rng = np.random.default_rng([seed, 2])
    shift, scale, roll, yaw = rng.normal(0, 0.03, 2), rng.uniform(1.10, 1.28), rng.normal(0, 0.05), rng.normal(0, 0.35)
    light = np.array([rng.normal(0, 0.5), rng.uniform(-0.7, 0.1), 1.0])
    ambient, warmth, smile = rng.uniform(0.4, 0.65), rng.uniform(-1, 1), rng.normal(0.2, 0.35)
    return tuple(
        Frame(
            shift=(float(shift[0] + rng.normal(0, 0.012)), float(shift[1] + rng.normal(0, 0.012))),
            scale=float(scale * rng.normal(1, 0.01)),
            roll=float(roll + rng.normal(0, 0.025)),
            yaw=float(np.clip(yaw + rng.normal(0, 0.12), -1, 1)),
            gaze=float(np.clip(rng.normal(0, 0.35), -1, 1)),
            openness=float(rng.uniform(0.7, 1.0)),
            smile=float(np.clip(smile + rng.normal(0, 0.2), -1, 1)),
            mouth_open=float(max(0.0, rng.normal(0.1, 0.25))),
            light=_unit(light + rng.normal(0, 0.05, 3)),
            ambient=float(ambient),
            warmth=float(warmth),
            scene=seed,
            detail=int(rng.integers(1 << 31)),
        )
        for _ in range(count)
    )


def portrait_from_identity(person: Identity, frame: Frame, size: int) -> Portrait:
    """Draws one frame of a person, `size` pixels wide and high."""
    steps = (np.arange(size, dtype=np.float32) + 0.5) / size * 2 - 1
    x, y = np.meshgrid(steps, steps)
    u, v = _head_coordinates(x, y, frame)
    soft = 3.0 / size
    shade = _shading(u, v, person, frame)
    canvas = _background(x, y, frame, size)
    canvas = hair_behind(canvas, person, u, v, soft)
    canvas = _body(canvas, person, frame, x, y, u, v, soft)
    canvas = _skin(canvas, person, frame, u, v, shade, soft)
    canvas = eyes(canvas, person, frame, u, v, soft)
    canvas = nose(canvas, person, frame, u, v, soft)
    canvas = mouth(canvas, person, frame, u, v, soft)
    canvas = brows(canvas, person, frame, u, v, soft)
    canvas = hair_in_front(canvas, person, frame, u, v, soft)
    tint = np.array([1 + 0.05 * frame.warmth, 1.0, 1 - 0.06 * frame.warmth], np.float32)
    return Portrait(np.clip(canvas * tint, 0, 1).astype(np.float32), u, v)


def _unit(vector: NDArray[np.float64]) -> tuple[float, float, float]:
    a, b, c = vector / np.linalg.norm(vector)
    return float(a), float(b), float(c)


def _head_coordinates(
    x: NDArray[np.floating], y: NDArray[np.floating], frame: Frame
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    cos, sin = np.cos(frame.roll), np.sin(frame.roll)
    dx, dy = (x - frame.shift[0]) / frame.scale, (y - HEAD_Y - frame.shift[1]) / frame.scale
    return (cos * dx + sin * dy).astype(np.float32), (-sin * dx + cos * dy).astype(np.float32)


def _shading(u: NDArray[np.floating], v: NDArray[np.floating], person: Identity, frame: Frame) -> NDArray[np.floating]:
    """Lambert shading of an ellipsoid with the head's proportions."""
    nx, ny = u / (person.head_width * 1.12), v / (person.head_height * 1.12)
    nz = np.sqrt(np.clip(1.0 - nx**2 - ny**2, 0.03, 1.0))
    length = np.sqrt(nx**2 + ny**2 + nz**2)
    lambert = np.clip((nx * frame.light[0] + ny * frame.light[1] + nz * frame.light[2]) / length, 0, 1)
    shade: NDArray[np.floating] = frame.ambient + (1.12 - frame.ambient) * lambert
    return shade.astype(np.float32)


def _background(x: NDArray[np.floating], y: NDArray[np.floating], frame: Frame, size: int) -> NDArray[np.floating]:
    rng = np.random.default_rng([frame.scene, 3])
    top, bottom = _muted(rng, 0.3, 0.8), _muted(rng, 0.2, 0.65)
    blend = ((y + 1) / 2)[..., None]
    canvas: NDArray[np.floating] = top * (1 - blend) + bottom * blend
    canvas = canvas + 0.05 * power_law_noise(rng, size, 1.2)[..., None] * rng.uniform(0.7, 1.2, 3)
    for _ in range(int(rng.integers(2, 6))):  # out-of-focus shapes of a room
        cx, cy, a, b = rng.uniform(-1, 1), rng.uniform(-1, 1), rng.uniform(0.1, 0.5), rng.uniform(0.1, 0.7)
        canvas = painted(canvas, _muted(rng, 0.15, 0.85), disc(x - cx, y - cy, a, b, rng.uniform(2, 8), 0.12), 0.45)
    return np.clip(canvas, 0, 1).astype(np.float32)


def _muted(rng: np.random.Generator, darkest: float, lightest: float) -> NDArray[np.floating]:
    """Draws a colour of a room or of clothes: a grey with some hue."""
    return np.clip(rng.uniform(darkest, lightest) + rng.normal(0, 0.10, 3), 0, 1).astype(np.float32)


def _body(
    canvas: NDArray[np.floating],
    person: Identity,
    frame: Frame,
    x: NDArray[np.floating],
    y: NDArray[np.floating],
    u: NDArray[np.floating],
    v: NDArray[np.floating],
    soft: float,
) -> NDArray[np.floating]:
    rng = np.random.default_rng([frame.scene, 4])
    skin = np.array(person.skin, np.float32)
    neck = disc(u, v - person.head_height - 0.08, person.head_width * 0.52, 0.42, 4, soft * 2)
    canvas = painted(canvas, skin * 0.72, neck)
    clothes = disc(x - frame.shift[0], y - 1.32, 0.95, 0.52, 2.6, soft)
    weave = 0.035 * band_noise(rng, x.shape[0], 0.22)[..., None]
    return painted(canvas, np.clip(_muted(rng, 0.1, 0.7) + weave, 0, 1).astype(np.float32), clothes)


def _face_mask(person: Identity, u: NDArray[np.floating], v: NDArray[np.floating], soft: float) -> NDArray[np.floating]:
    """The head narrows towards the chin."""
    below = np.clip(v / person.head_height, 0, 1)
    width = person.head_width * (1.0 - 0.24 * person.jaw * below**1.6)
    return disc(u / width * person.head_width, v, person.head_width, person.head_height, 2.25, soft)


def _skin(
    canvas: NDArray[np.floating],
    person: Identity,
    frame: Frame,
    u: NDArray[np.floating],
    v: NDArray[np.floating],
    shade: NDArray[np.floating],
    soft: float,
) -> NDArray[np.floating]:
    rng = np.random.default_rng([person.seed, frame.detail])
    size = u.shape[0]
    skin = np.array(person.skin, np.float32)
    for side in (-1, 1):
        ear = disc(u - side * person.head_width * 1.0, v - 0.02, 0.075, 0.14, 2, soft)
        canvas = painted(canvas, skin * 0.78, ear)
    tone = np.broadcast_to(skin, (size, size, 3)).copy()
    pores = 0.016 * band_noise(rng, size, 0.2) + 0.014 * power_law_noise(rng, size, 1.0)
    tone = tone * (1 + pores)[..., None]
    for side in (-1, 1):
        cheek = disc(turned(u, frame) - side * 0.25, v - 0.17, 0.17, 0.13, 2, 0.16)
        tone = painted(tone, tone * np.array([1.08, 0.90, 0.88], np.float32), cheek, 0.55)
    tone = _spots(tone, person, u, v)
    if person.beard:
        lower = falloff(0.2 - v + 0.9 * np.clip(0.28 - np.abs(u), 0, 1) * 0.6, 0.12)
        strands = np.clip(0.75 + 0.35 * band_noise(rng, size, 0.3), 0, 1)
        tone = painted(tone, np.array(person.hair, np.float32) * 0.9, lower * strands, 0.75 * person.beard)
    return painted(canvas, tone * shade[..., None], _face_mask(person, u, v, soft))


def _spots(
    tone: NDArray[np.floating], person: Identity, u: NDArray[np.floating], v: NDArray[np.floating]
) -> NDArray[np.floating]:
    rng = np.random.default_rng([person.seed, 5])
    for _ in range(int(rng.integers(0, 3)) + int(26 * person.freckles)):
        cu, cv = rng.normal(0, 0.2), rng.normal(0.1, 0.1)
        spot = np.exp(-((u - cu) ** 2 + (v - cv) ** 2) / (2 * rng.uniform(0.006, 0.011) ** 2)).astype(np.float32)
        tone = painted(tone, tone * np.array([0.72, 0.58, 0.5], np.float32), spot, 0.7)
    return tone
