"""Whether a variant's source model looks at the same places as the baseline's, by their class-activation maps.

Variants of the dense model share its maps, which are those of the source: rounding cannot move them, so there is
nothing to compare.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from evaluate.statistics.interval import CONFIDENCE, Interval
from export.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Maps = NDArray[np.float32]

TOP_SHARE = 0.2
_RESAMPLES = 10_000
_SEED = 0


@dataclass(frozen=True)
class MaskAgreement:
    """Maps against masks of what was manipulated, which only drawn fakes have.

    Attributes:
        videos: Fakes with a mask.
        pointing_game: Share of them whose map has its peak inside the mask (Zhang et al., ECCV 2016).
        energy_inside: Mean share of the positive contributions that lie inside (Wang et al., CVPR Workshops 2020).
        area: Mean share of the image that the masks cover, which a map without any aim would reach in both.
    """

    videos: int
    pointing_game: float
    energy_inside: float
    area: float


@dataclass(frozen=True)
class CamAgreement:
    """Maps of two models on the same images, and on different ones for comparison.

    Attributes:
        videos: Videos whose maps were compared.
        pearson: Mean correlation of the two models' maps of the same image.
        pearson_interval: Its 95 % interval, by a bootstrap of the videos.
        null_pearson: Mean correlation of maps of different images, which says what chance and the layout of faces give.
        overlap: Mean intersection over union of the fifth of the pixels with the largest contributions.
        overlap_interval: Its 95 % interval, likewise.
        null_overlap: The same of different images.
        masks: Against masks of the manipulated region; None without masks.
        dense_masks: The dense model's maps of the same images against the same masks, for comparison.
    """

    videos: int
    pearson: float
    pearson_interval: Interval
    null_pearson: float
    overlap: float
    overlap_interval: Interval
    null_overlap: float
    masks: MaskAgreement | None = None
    dense_masks: MaskAgreement | None = None

    @property
    def drift(self) -> float:
        """1 - Pearson: what the limit `max_cam_drift` is about."""
        return 1.0 - self.pearson


def agreement_of_maps(dense: Maps, other: Maps, masks: Sequence[NDArray[np.bool_] | None] = ()) -> CamAgreement:
    """Compares two models' maps of the same images, one image per video.

    Args:
        dense: The dense model's maps, shape (N, h, w).
        other: The pruned model's.
        masks: Where each image was changed, at any size, or None where that is not known; none for no image at all.

    Raises:
        DataError: The maps differ in shape, or are of fewer than two images, which leaves none to compare with.
    """
    pearson, overlap = pearson_of_maps(dense, other), overlap_of_maps(dense, other)
    masked = [index for index, mask in enumerate(masks) if mask is not None]
    known = [mask for mask in masks if mask is not None]
    return CamAgreement(
        videos=len(dense),
        pearson=float(pearson.diagonal().mean()),
        pearson_interval=mean_interval(pearson.diagonal()),
        null_pearson=_mean_beside_diagonal(pearson),
        overlap=float(overlap.diagonal().mean()),
        overlap_interval=mean_interval(overlap.diagonal()),
        null_overlap=_mean_beside_diagonal(overlap),
        masks=mask_agreement(other[masked], known) if known else None,
        dense_masks=mask_agreement(dense[masked], known) if known else None,
    )


def pearson_of_maps(one: Maps, other: Maps) -> NDArray[np.float64]:
    """Returns the correlation of every map of the one with every map of the other, shape (N, N).

    A map that is constant points nowhere and agrees with none: its correlation counts as 0.
    """
    _require_alike(one, other)
    correlation: NDArray[np.float64] = _standardized(one) @ _standardized(other).T
    return correlation


def overlap_of_maps(one: Maps, other: Maps) -> NDArray[np.float64]:
    """Returns the intersection over union of the places with the largest values, shape (N, N).

    They are a fifth of each map's places, at least one; of equal values the first count.
    """
    _require_alike(one, other)
    first, second = _largest(one), _largest(other)
    shared = first @ second.T
    count = first.sum(axis=1)[:, None]
    overlap: NDArray[np.float64] = shared / (2 * count - shared)
    return overlap


def mean_interval(values: NDArray[np.floating]) -> Interval:
    """Returns the 95 % interval of a mean, by the percentiles of a bootstrap (Efron and Tibshirani 1993).

    Args:
        values: One value per video, shape (N,).
    """
    rng = np.random.default_rng(_SEED)
    counts = rng.multinomial(len(values), np.full(len(values), 1 / len(values)), size=_RESAMPLES)
    means = counts @ np.asarray(values, dtype=np.float64) / len(values)
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]).tolist()
    return Interval(low, high)


def mask_agreement(maps: Maps, masks: Sequence[NDArray[np.bool_]]) -> MaskAgreement:
    """Compares maps (N, h, w), smoothly enlarged, with masks of one image each.

    A map without any positive contribution has none inside.

    Raises:
        DataError: There is no mask, or there are not as many as maps.
    """
    if not masks or len(maps) != len(masks):
        raise DataError(f"{len(maps)} maps and {len(masks)} masks; expected as many, and at least one")
    hits, energies = [], []
    for each, mask in zip(maps, masks, strict=True):
        enlarged = _enlarged(each, mask.shape)
        positive = np.maximum(enlarged, 0.0)
        energies.append(float(positive[mask].sum() / positive.sum()) if positive.any() else 0.0)
        hits.append(bool(mask.flat[int(enlarged.argmax())]))
    return MaskAgreement(
        videos=len(masks),
        pointing_game=float(np.mean(hits)),
        energy_inside=float(np.mean(energies)),
        area=float(np.mean([mask.mean() for mask in masks])),
    )


def _standardized(maps: Maps) -> NDArray[np.float64]:
    flat = maps.reshape(len(maps), -1).astype(np.float64)
    centred = flat - flat.mean(axis=1, keepdims=True)
    norm = np.linalg.norm(centred, axis=1, keepdims=True)
    standardized: NDArray[np.float64] = np.divide(centred, norm, out=np.zeros_like(centred), where=norm > 0)
    return standardized


def _largest(maps: Maps) -> NDArray[np.float64]:
    flat = maps.reshape(len(maps), -1)
    count = max(1, round(TOP_SHARE * flat.shape[1]))
    chosen = np.zeros(flat.shape)
    np.put_along_axis(chosen, np.argsort(-flat, axis=1, kind="stable")[:, :count], 1.0, axis=1)
    return chosen


def _mean_beside_diagonal(matrix: NDArray[np.float64]) -> float:
    """Returns the mean over all pairs of different images: what deranging the images gives on average."""
    count = len(matrix)
    return float((matrix.sum() - np.trace(matrix)) / (count * (count - 1)))


def _enlarged(activation_map: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float64]:
    size = (shape[1], shape[0])
    return np.asarray(Image.fromarray(activation_map).resize(size, Image.Resampling.BILINEAR), dtype=np.float64)


def _require_alike(one: Maps, other: Maps) -> None:
    if one.shape != other.shape or one.ndim != 3 or len(one) < 2:
        raise DataError(f"maps of shapes {one.shape} and {other.shape}; expected both (N, h, w) with N of 2 or more")
