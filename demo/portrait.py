"""Draws a person as a lit portrait, with the landmarks of the face known exactly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from demo.texture import band_noise, disc, falloff, painted, power_law_noise, stroke

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
    canvas = _hair_behind(canvas, person, u, v, soft)
    canvas = _body(canvas, person, frame, x, y, u, v, soft)
    canvas = _skin(canvas, person, frame, u, v, shade, soft)
    canvas = _eyes(canvas, person, frame, u, v, soft)
    canvas = _nose(canvas, person, frame, u, v, soft)
    canvas = _mouth(canvas, person, frame, u, v, soft)
    canvas = _brows(canvas, person, frame, u, v, soft)
    canvas = _hair_in_front(canvas, person, frame, u, v, soft)
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


def _turned(u: NDArray[np.floating], frame: Frame, depth: float = 0.05) -> NDArray[np.floating]:
    """Moves what lies on the front of the head sideways when it turns."""
    return u - depth * frame.yaw


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


def _hair_behind(
    canvas: NDArray[np.floating], person: Identity, u: NDArray[np.floating], v: NDArray[np.floating], soft: float
) -> NDArray[np.floating]:
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
        cheek = disc(_turned(u, frame) - side * 0.25, v - 0.17, 0.17, 0.13, 2, 0.16)
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


def _eyes(
    canvas: NDArray[np.floating],
    person: Identity,
    frame: Frame,
    u: NDArray[np.floating],
    v: NDArray[np.floating],
    soft: float,
) -> NDArray[np.floating]:
    skin = np.array(person.skin, np.float32)
    for side in (-1, 1):
        eu = (_turned(u, frame) - side * person.eye_spacing) * side
        ev = v + person.eye_height + person.eye_tilt * eu
        a, b = person.eye_size, person.eye_size * 0.52 * frame.openness
        canvas = painted(canvas, canvas * 0.72, disc(eu, ev + 0.01, a * 1.5, b * 2.6, 2, 0.1), 0.55)
        lens = falloff(np.abs(ev) - b * np.clip(1 - (eu / a) ** 2, 0, None) + 0.004, soft)
        canvas = painted(canvas, np.array([0.90, 0.89, 0.87], np.float32) * 0.97, lens)
        iu, iv = eu - side * 0.25 * a * frame.gaze, ev
        iris, pupil = disc(iu, iv, a * 0.46, a * 0.46, 2, soft), disc(iu, iv, a * 0.2, a * 0.2, 2, soft)
        rim = disc(iu, iv, a * 0.46, a * 0.46, 2, a * 0.3)
        canvas = painted(canvas, np.array(person.iris, np.float32) * 0.45, iris * lens)
        canvas = painted(canvas, np.array(person.iris, np.float32) * 1.25, rim * lens * iris)
        canvas = painted(canvas, np.array([0.03, 0.03, 0.03], np.float32), pupil * lens)
        glint = disc(iu - side * 0.14 * a, iv + 0.16 * a, a * 0.09, a * 0.09, 2, soft)
        canvas = painted(canvas, np.ones(3, np.float32), glint * lens, 0.9)
        arc = np.clip(1 - (eu / (a * 1.04)) ** 2, 0, None)
        lid = stroke(ev + b * arc, 0.010 * (arc > 0) - 0.02 * (arc <= 0), soft)
        canvas = painted(canvas, skin * 0.18, lid, 0.85)
        fold = stroke(ev + b * arc + 0.034, 0.004 * (arc > 0.12) - 0.02 * (arc <= 0.12), soft * 2)
        canvas = painted(canvas, skin * 0.5, fold, 0.5)
        lower = stroke(ev - b * arc, 0.003 * (arc > 0.05) - 0.02 * (arc <= 0.05), soft * 1.5)
        canvas = painted(canvas, skin * 0.45, lower, 0.5)
    return canvas


def _brows(
    canvas: NDArray[np.floating],
    person: Identity,
    frame: Frame,
    u: NDArray[np.floating],
    v: NDArray[np.floating],
    soft: float,
) -> NDArray[np.floating]:
    for side in (-1, 1):
        bu = (_turned(u, frame) - side * person.eye_spacing) * side
        length = person.eye_size * 1.32
        bend = person.brow_arch * (bu**2) / length * 0.9 - 0.10 * bu
        bv = v + person.eye_height + person.brow_height - bend
        taper = np.clip(1 - (bu / length) ** 2, 0, 1) ** 0.5 * np.where(bu > 0, 0.8, 1.0)
        mask = stroke(bv, person.brow_thickness * taper - 0.02 * (taper <= 0), soft * 2)
        canvas = painted(canvas, np.array(person.hair, np.float32) * 0.65, mask, 0.85)
    return canvas


def _nose(
    canvas: NDArray[np.floating],
    person: Identity,
    frame: Frame,
    u: NDArray[np.floating],
    v: NDArray[np.floating],
    soft: float,
) -> NDArray[np.floating]:
    nu = _turned(u, frame, 0.085)
    tip = person.nose_length - person.eye_height
    dark_side = -1.0 if frame.light[0] > 0 else 1.0
    along = np.clip((v + person.eye_height) / person.nose_length, 0, 1)
    span = falloff(np.abs(v - (tip - person.eye_height) / 2 - 0.02) - person.nose_length * 0.46, 0.12)
    flank = np.exp(-(((nu - dark_side * (0.03 + 0.45 * person.nose_width * along)) / 0.028) ** 2)).astype(np.float32)
    canvas = painted(canvas, canvas * 0.70, flank * span, 0.6)
    ridge = np.exp(-((nu / 0.02) ** 2)).astype(np.float32) * span
    canvas = painted(canvas, np.minimum(canvas * 1.18 + 0.02, 1), ridge, 0.4)
    under = np.exp(-((nu / person.nose_width) ** 2) * 0.9 - (((v - tip - 0.035) / 0.02) ** 2)).astype(np.float32)
    canvas = painted(canvas, canvas * 0.6, under, 0.75)
    for side in (-1, 1):
        wing = stroke(np.hypot((nu - side * person.nose_width * 0.72) * 1.0, v - tip) - 0.034, 0.004, soft * 2.5)
        canvas = painted(canvas, canvas * 0.55, wing * falloff(-(side * nu - person.nose_width * 0.5), 0.03), 0.6)
        nostril = disc(nu - side * person.nose_width * 0.5, v - tip - 0.022, 0.021, 0.010, 2, soft * 1.5)
        canvas = painted(canvas, canvas * 0.25, nostril, 0.8)
    gleam = disc(nu - 0.012, v - tip + 0.02, 0.018, 0.016, 2, 0.03)
    return painted(canvas, np.ones(3, np.float32), gleam, 0.22)


def _mouth(
    canvas: NDArray[np.floating],
    person: Identity,
    frame: Frame,
    u: NDArray[np.floating],
    v: NDArray[np.floating],
    soft: float,
) -> NDArray[np.floating]:
    mu = _turned(u, frame, 0.06)
    centre = person.nose_length - person.eye_height + person.mouth_drop
    width = person.mouth_width * (1 + 0.12 * max(frame.smile, 0))
    across = np.clip(1 - (mu / width) ** 2, 0, 1)
    mv = v - centre + 0.055 * frame.smile * (1 - across)
    gap = 0.035 * frame.mouth_open * across
    full = person.lip_fullness
    dip = 1 - 0.28 * np.exp(-((mu / 0.03) ** 2))
    inside = (across > 0).astype(np.float32)
    upper = falloff(np.maximum(-mv - (gap + full * across**0.7 * dip), mv + gap), soft * 1.5) * inside
    lower = falloff(np.maximum(mv - (gap + 1.25 * full * across**0.6), -mv + gap), soft * 1.5) * inside
    lips = np.array(person.lips, np.float32)
    light = np.clip(frame.ambient + 0.45, 0, 1)
    canvas = painted(canvas, canvas * 0.78, disc(mu, mv - 0.085, width * 0.6, 0.02, 2, 0.06), 0.5)
    opening = falloff(np.abs(mv) - gap, soft) * inside * float(frame.mouth_open > 0.02)
    canvas = painted(canvas, np.array([0.16, 0.05, 0.05], np.float32), opening)
    teeth = falloff(np.abs(mv + gap * 0.45) - gap * 0.5, soft) * (across > 0.25) * float(frame.mouth_open > 0.3)
    canvas = painted(canvas, np.array([0.88, 0.86, 0.82], np.float32) * light, teeth, 0.9)
    canvas = painted(canvas, lips * 0.82 * light, upper)
    canvas = painted(canvas, lips * light, lower)
    shine = np.exp(-((mu / (0.4 * width)) ** 2) - (((mv - gap - 0.55 * full) / (0.35 * full)) ** 2)).astype(np.float32)
    canvas = painted(canvas, np.minimum(lips * 1.5 + 0.12, 1), shine, 0.35)
    line = stroke(mv, 0.006 * np.sqrt(across) - 0.02 * (across <= 0), soft * 1.5)
    return painted(canvas, lips * 0.3, line, 0.8 * float(frame.mouth_open <= 0.3) + 0.1)


def _hair_in_front(
    canvas: NDArray[np.floating],
    person: Identity,
    frame: Frame,
    u: NDArray[np.floating],
    v: NDArray[np.floating],
    soft: float,
) -> NDArray[np.floating]:
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
