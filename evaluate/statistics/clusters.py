"""Which videos are not independent of each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def cluster_of(video: str, identities: Sequence[str]) -> str:
    """Names what a video is resampled with: the person it shows.

    In a face swap that is the target, `id37` of `id37_id3_0004`; a video without a known identity is a cluster of its
    own.

    Args:
        video: Name of the video, such as `Celeb-synthesis/id37_id3_0004.mp4`.
        identities: Persons in it, the target first; see `calibration.samples.Sample`.
    """
    return identities[0] if identities else video
