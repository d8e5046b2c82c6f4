"""Which videos the maps of two models are compared on: chosen by their names alone, so that no score decides."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from calibration.samples import Sample

MOST_VIDEOS = 64


def agreement_sample(samples: Iterable[Sample], most: int = MOST_VIDEOS) -> tuple[Sample, ...]:
    """Returns the first frame of at most `most` videos, half of them fake and half real, sorted by path.

    Videos come in the order of the digests of their names: as good as random, and the same in every run.

    Args:
        samples: Frames that decode.
        most: Number of videos; a class that has less than half of it gives what it has.
    """
    first: dict[str, Sample] = {}
    for sample in sorted(samples, key=lambda sample: sample.path):
        first.setdefault(sample.video, sample)
    ranked = sorted(first.values(), key=lambda sample: hashlib.sha256(sample.video.encode()).digest())
    chosen = [
        sample
        for is_fake in (False, True)
        for sample in [each for each in ranked if each.is_fake == is_fake][: most // 2]
    ]
    return tuple(sorted(chosen, key=lambda sample: sample.path))
