"""Whether two images show one picture: encoded anew, resized, cropped a little, lighter or darker; pure functions.

Hashes of few bits do not tell faces apart: crops of faces have eyes, mouth and hair at the same places. So thumbnails
are compared themselves, in two steps. The first is cheap and done for all pairs: how much of the one thumbnail is a
weighted sum of the other and of what a small shift or stretch of that would change (its derivatives, to first order).
The second lays the few that are left over each other, by Gauss-Newton steps on shift and stretch (Lucas and Kanade,
1981), and correlates them where they overlap. Correlation does not see brightness and contrast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

THUMBNAIL_SIDE = 32
# Between what different persons and what one picture gives; tests/evaluate/test_likeness.py measures both.
LEAST_LIKENESS = 0.98
# Low enough for a picture that lost 5 % at each side; of the pairs of different persons, 0.6 % reach it.
_LEAST_EXPLAINED = 0.87
# Pictures that vary less, in grey levels, show nothing that could be recognised.
_LEAST_CONTRAST = 2.0
_STEPS = 4
# Largest shift and stretch, as a share of half a thumbnail: a crop of 7 % at one side.
_MOST_WARP = 0.15
_MOST_STEP = 0.1
_PAIRS_AT_ONCE = 512


def alike(thumbnails: NDArray[np.uint8], others: NDArray[np.uint8]) -> list[tuple[int, int, float]]:
    """Finds the pairs of images that show one picture.

    Args:
        thumbnails: Grey, shape (A, side, side); the side is even.
        others: Likewise, shape (B, side, side).

    Returns:
        Index, index of the other and likeness, from `LEAST_LIKENESS` to 1, in the order of the indices.
    """
    first, second = _candidates(thumbnails, others)
    found = []
    for start in range(0, first.size, _PAIRS_AT_ONCE):
        some = slice(start, start + _PAIRS_AT_ONCE)
        likeness = aligned_correlation(
            thumbnails[first[some]].astype(np.float64), others[second[some]].astype(np.float64)
        )
        found += [
            (int(first[start + pair]), int(second[start + pair]), float(likeness[pair]))
            for pair in np.flatnonzero(likeness >= LEAST_LIKENESS)
        ]
    return found


def aligned_correlation(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the correlation of each pair where the two overlap, once the first is shifted and stretched to match.

    Args:
        first: Images that vary, shape (N, side, side).
        second: Likewise.

    Returns:
        The largest that any step reached, in [-1, 1], shape (N,).
    """
    count, side, _ = first.shape
    first, second = _standardized(first), _standardized(second)
    places = np.linspace(-1.0, 1.0, side)
    stretch, shift = np.ones((count, 2)), np.zeros((count, 2))  # of rows, of columns
    best = np.full(count, -1.0)
    for step in range(_STEPS + 1):
        warped, inside = _warped(first, stretch, shift, places)
        one, other = _centred(warped, inside), _centred(second, inside)
        best = np.maximum(best, np.sum(one * other, (1, 2)) / _norms(one) / _norms(other))
        if step == _STEPS:
            break
        down, across = np.gradient(warped, places, places, axis=(1, 2))
        changes = np.stack([down, across, down * places[:, None], across * places], axis=1)
        moves = _moves(one, _centred(changes, inside[:, None]), other)
        shift, stretch = shift + stretch * moves[:, :2], stretch * (1 + moves[:, 2:])
        stretch = np.clip(stretch, 1 - _MOST_WARP, 1 + _MOST_WARP)
        shift = np.clip(shift, -_MOST_WARP, _MOST_WARP)
    likeness: NDArray[np.float64] = np.minimum(best, 1.0)  # which rounding may exceed
    return likeness


def _candidates(thumbnails: NDArray[np.uint8], others: NDArray[np.uint8]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Returns the indices of the pairs that are worth laying over each other."""
    kept, halves = _with_contrast(_halved(thumbnails))
    kept_others, other_halves = _with_contrast(_halved(others))
    if not kept.size or not kept_others.size:
        return np.zeros(0, np.intp), np.zeros(0, np.intp)
    places = np.linspace(-1.0, 1.0, halves.shape[-1])
    flat = other_halves.reshape(kept_others.size, -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    flat = (flat / np.linalg.norm(flat, axis=1, keepdims=True)).astype(np.float32)
    pairs: list[tuple[NDArray[np.intp], NDArray[np.intp]]] = []
    for index, half in zip(kept, halves, strict=True):
        down, across = np.gradient(half)
        basis = np.stack([half, down, across, down * places[:, None], across * places]).reshape(5, -1)
        basis = np.linalg.qr((basis - basis.mean(axis=1, keepdims=True)).T)[0].astype(np.float32)
        explained = np.sum((flat @ basis) ** 2, axis=1)
        found = kept_others[explained >= _LEAST_EXPLAINED**2]
        pairs.append((np.full(found.size, index), found))
    first, second = zip(*pairs, strict=True)
    return np.concatenate(first), np.concatenate(second)


def _with_contrast(images: NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Returns the images that show something, and their indices."""
    kept = np.flatnonzero(images.std(axis=(1, 2)) >= _LEAST_CONTRAST)
    return kept, images[kept]


def _halved(thumbnails: NDArray[np.uint8]) -> NDArray[np.float64]:
    count, side, _ = thumbnails.shape
    halves: NDArray[np.float64] = thumbnails.reshape(count, side // 2, 2, side // 2, 2).mean(axis=(2, 4))
    return halves


def _warped(
    images: NDArray[np.float64], stretch: NDArray[np.float64], shift: NDArray[np.float64], places: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Resamples rows and columns at `stretch * place + shift`, and tells which of the pixels lie inside."""
    inside = np.ones(images.shape, dtype=np.bool_)
    last = places.size - 1
    for axis in (0, 1):
        at = (stretch[:, axis, None] * places + shift[:, axis, None] + 1) / 2 * last
        within = (at >= 0) & (at <= last)
        inside &= within[:, :, None] if axis == 0 else within[:, None, :]
        at = np.clip(at, 0, last)
        low = np.minimum(at.astype(np.intp), last - 1)
        rows = images if axis == 0 else images.swapaxes(1, 2)
        below, above = (np.take_along_axis(rows, index[:, :, None], axis=1) for index in (low, low + 1))
        rows = below + (above - below) * (at - low)[:, :, None]
        images = rows if axis == 0 else rows.swapaxes(1, 2)
    return images, inside


def _centred(images: NDArray[np.float64], inside: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Subtracts the mean of the pixels inside, and sets the others to zero."""
    means = np.sum(images * inside, axis=(-2, -1), keepdims=True) / np.sum(inside, axis=(-2, -1), keepdims=True)
    centred: NDArray[np.float64] = (images - means) * inside
    return centred


def _standardized(images: NDArray[np.float64]) -> NDArray[np.float64]:
    standardized: NDArray[np.float64] = images - images.mean(axis=(1, 2), keepdims=True)
    standardized /= images.std(axis=(1, 2), keepdims=True)
    return standardized


def _norms(images: NDArray[np.float64]) -> NDArray[np.float64]:
    # Of a picture that varies only where the other does not reach, nothing is left.
    norms: NDArray[np.float64] = np.maximum(np.sqrt(np.sum(images**2, axis=(1, 2))), 1e-9)
    return norms


def _moves(
    image: NDArray[np.float64], changes: NDArray[np.float64], target: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Returns the shifts and stretches, of rows and columns, that take each image towards its target, shape (N, 4)."""
    count = len(image)
    columns = np.concatenate([image[:, None], changes], axis=1).reshape(count, 5, -1)
    products = columns @ columns.swapaxes(1, 2)
    # Without variation along an axis, any shift along it is as good; the smallest is taken.
    products += 1e-6 * np.trace(products, axis1=1, axis2=2)[:, None, None] * np.eye(5) + 1e-9 * np.eye(5)
    weights = np.linalg.solve(products, columns @ target.reshape(count, -1, 1))[:, :, 0]
    contrast = np.where(weights[:, :1] < 0.2, 1.0, weights[:, :1])
    moves: NDArray[np.float64] = np.clip(weights[:, 1:] / contrast, -_MOST_STEP, _MOST_STEP)
    return moves
