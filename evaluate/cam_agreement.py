"""Whether a variant's source model looks at the same places as the baseline's, by their class-activation maps."""

from __future__ import annotations

from dataclasses import dataclass

from evaluate.statistics.interval import Interval  # noqa: TC001  # decoding resolves the fields' types


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
    """

    videos: int
    pearson: float
    pearson_interval: Interval
    null_pearson: float
    overlap: float
    overlap_interval: Interval
    null_overlap: float
    masks: MaskAgreement | None = None

    @property
    def drift(self) -> float:
        """1 - Pearson: what the limit `max_cam_drift` is about."""
        return 1.0 - self.pearson
