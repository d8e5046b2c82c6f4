"""Noise with the statistics of natural images, and soft shapes to draw with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def power_law_noise(rng: np.random.Generator, size: int, exponent: float = 1.0) -> NDArray[np.floating]:
    """Returns noise whose amplitude spectrum falls as 1/f^exponent, shape (size, size), mean 0, deviation 1.

    Natural images have an exponent near 1 (Field, J. Opt. Soc. Am. A 1987).
    """
    spectrum = np.fft.rfft2(rng.standard_normal((size, size)))
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None, :])
    frequency[0, 0] = np.inf
    return _standardized(np.fft.irfft2(spectrum / frequency**exponent, s=(size, size)))


def band_noise(
    rng: np.random.Generator, size: int, centre: float, octaves: float = 1.0, stretch: float = 1.0
) -> NDArray[np.floating]:
    """Returns noise around one frequency in cycles per pixel: pores, weave, or strands if stretched downwards."""
    spectrum = np.fft.rfft2(rng.standard_normal((size, size)))
    frequency = np.hypot(stretch * np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None, :])
    distance = np.log2(np.maximum(frequency, 1e-6) / centre) / octaves
    return _standardized(np.fft.irfft2(spectrum * np.exp(-(distance**2)), s=(size, size)))


def disc(
    x: NDArray[np.floating], y: NDArray[np.floating], a: float, b: float, power: float, soft: float
) -> NDArray[np.floating]:
    """Returns the mask of a superellipse with half axes `a` and `b`: 1 inside, 0 outside, `soft` wide edge."""
    if power == 2:  # much the most frequent case, and much faster
        radius = np.hypot(x / a, y / b)
    else:
        radius = (np.abs(x / a) ** power + np.abs(y / b) ** power) ** (1.0 / power)
    return falloff((radius - 1.0) * min(a, b), soft)


def stroke(distance: NDArray[np.floating], width: NDArray[np.floating] | float, soft: float) -> NDArray[np.floating]:
    """Returns the mask of a line of half `width` around the places where `distance` is 0."""
    return falloff(np.abs(distance) - width, soft)


def falloff(distance: NDArray[np.floating], soft: float) -> NDArray[np.floating]:
    """Maps a signed distance to 1 inside and 0 outside, smoothly over `soft`."""
    t = np.clip(0.5 - distance / soft, 0.0, 1.0)
    smooth: NDArray[np.floating] = (t * t * (3.0 - 2.0 * t)).astype(np.float32)
    return smooth


def painted(
    canvas: NDArray[np.floating], colour: NDArray[np.floating], mask: NDArray[np.floating], opacity: float = 1.0
) -> NDArray[np.floating]:
    """Lays a colour, one (3,) or one per pixel (h, w, 3), over a canvas where a mask (h, w) says so."""
    result = canvas.astype(np.float32)
    touched = _extent(mask)
    area = result[touched]
    alpha = (opacity * mask[touched])[..., None]
    result[touched] = area + alpha * ((colour[touched] if colour.ndim == 3 else colour) - area)
    return result


def _extent(mask: NDArray[np.floating]) -> tuple[slice, slice]:
    """Returns the smallest rows and columns outside of which a mask is 0: most shapes are small."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if rows.size == 0:
        return slice(0, 0), slice(0, 0)
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def _standardized(values: NDArray[np.floating]) -> NDArray[np.floating]:
    centred = (values - values.mean()).astype(np.float32)
    standardized: NDArray[np.floating] = centred / max(float(centred.std()), 1e-9)
    return standardized
