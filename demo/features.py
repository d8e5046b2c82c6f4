"""The features of a drawn face, laid over a canvas in the coordinates (u, v) of the head."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from demo.texture import disc, falloff, painted, stroke

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from demo.identity import Identity
    from demo.portrait import Frame


def turned(u: NDArray[np.floating], frame: Frame, depth: float = 0.05) -> NDArray[np.floating]:
    """Moves what lies on the front of the head sideways when it turns."""
    return u - depth * frame.yaw


def eyes(
    canvas: NDArray[np.floating],
    person: Identity,
    frame: Frame,
    u: NDArray[np.floating],
    v: NDArray[np.floating],
    soft: float,
) -> NDArray[np.floating]:
    """Draws the eyes: socket, white, iris, lids."""
    skin = np.array(person.skin, np.float32)
    for side in (-1, 1):
        eu = (turned(u, frame) - side * person.eye_spacing) * side
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


def nose(
    canvas: NDArray[np.floating],
    person: Identity,
    frame: Frame,
    u: NDArray[np.floating],
    v: NDArray[np.floating],
    soft: float,
) -> NDArray[np.floating]:
    """Draws the nose by its shadow, ridge, wings and nostrils."""
    nu = turned(u, frame, 0.085)
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


def mouth(
    canvas: NDArray[np.floating],
    person: Identity,
    frame: Frame,
    u: NDArray[np.floating],
    v: NDArray[np.floating],
    soft: float,
) -> NDArray[np.floating]:
    """Draws the lips, and teeth if the mouth is open."""
    mu = turned(u, frame, 0.06)
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


def brows(
    canvas: NDArray[np.floating],
    person: Identity,
    frame: Frame,
    u: NDArray[np.floating],
    v: NDArray[np.floating],
    soft: float,
) -> NDArray[np.floating]:
    """Draws the brows."""
    for side in (-1, 1):
        bu = (turned(u, frame) - side * person.eye_spacing) * side
        length = person.eye_size * 1.32
        bend = person.brow_arch * (bu**2) / length * 0.9 - 0.10 * bu
        bv = v + person.eye_height + person.brow_height - bend
        taper = np.clip(1 - (bu / length) ** 2, 0, 1) ** 0.5 * np.where(bu > 0, 0.8, 1.0)
        mask = stroke(bv, person.brow_thickness * taper - 0.02 * (taper <= 0), soft * 2)
        canvas = painted(canvas, np.array(person.hair, np.float32) * 0.65, mask, 0.85)
    return canvas
