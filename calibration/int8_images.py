"""The calibration images as the making of an INT8 variant uses them, and what is wrong with them, if anything is."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from calibration.loading import BatchReader
from calibration.samples import SampleSet
from calibration.sampling import split_by_video
from export.errors import DataError
from export.sidecar import sha256_of_file

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from calibration.samples import Sample
    from export.contract import InputContract

FEWEST_IMAGES = 32
BATCH_SIZE = 16
# Of passes that look at every tensor of the network at once.
SMALL_BATCH = 4
# Enough for means and choices; more would only take memory, which must not grow with the calibration set.
MOST_FITTED = 128
MOST_JUDGING = 128
_LARGEST_PIXELS = 160 * 160


@dataclass(frozen=True)
class LabelledImages:
    """Images in memory.

    Attributes:
        batches: Normalized images (N, 3, size, size) each.
        is_fake: Their labels, bool, one after another.
    """

    batches: tuple[torch.Tensor, ...]
    is_fake: NDArray[np.bool_]

    def first(self, count: int) -> tuple[torch.Tensor, ...]:
        """Returns the batches that hold the first `count` images, whole batches only."""
        return self.batches[: max(1, count // BATCH_SIZE)]


@dataclass(frozen=True)
class Int8Images:
    """Images that ranges, choices and repairs are fitted to, and those of other videos that judge."""

    fitted: LabelledImages
    judging: LabelledImages


def int8_images_from_samples(samples: SampleSet, contract: InputContract) -> Int8Images:
    """Splits a calibration set by video and reads as much of it as the search needs.

    Raises:
        ImageError: An image does not decode.
    """
    fitted, judging = split_by_video(samples)
    return Int8Images(
        _loaded(_spread(fitted, MOST_FITTED), contract), _loaded(_spread(judging or fitted, MOST_JUDGING), contract)
    )


def fitted_images(samples: SampleSet, contract: InputContract) -> LabelledImages:
    """Reads as much of a set as a search needs, all of it to fit to."""
    return _loaded(_spread(samples.samples, MOST_FITTED), contract)


def observed_and_choosing(samples: SampleSet) -> tuple[SampleSet, SampleSet]:
    """Splits what may be fitted to by video: images that channels and ranges are observed on, and those that choose.

    Sets too small for that choose among ranges on the images that were observed.
    """
    fitted = SampleSet(samples.root, split_by_video(samples)[0])
    observed, choosing = split_by_video(fitted)
    return SampleSet(samples.root, observed), SampleSet(samples.root, choosing or observed)


def costly_pass_image_count(size: int) -> int:
    """Returns how many images passes use that go layer by layer: 64 up to 160 px, fewer of larger ones, at least 32."""
    return int(np.clip(64 * _LARGEST_PIXELS / size**2, 32, 64)) // BATCH_SIZE * BATCH_SIZE


def image_warnings(samples: SampleSet) -> tuple[str, ...]:
    """Says what makes a calibration set a weak one, a sentence each.

    Raises:
        DataError: All images are the same, which calibrates nothing.
    """
    digests = Counter(sha256_of_file(sample.path) for sample in samples.samples)
    count = len(samples.samples)
    if len(digests) == 1 and count > 1:
        raise DataError(f"all {count} calibration images of {samples.root} are the same; use faces of many people")
    warnings = []
    if count < FEWEST_IMAGES:
        warnings.append(f"only {count} calibration images; ranges of fewer than {FEWEST_IMAGES} are not reliable")
    if 2 * len(digests) < count:
        warnings.append(f"{count - len(digests)} of {count} calibration images are copies of others")
    if not split_by_video(samples)[1]:
        warnings.append("too few calibration videos to hold any back; the figures are of the images fitted to")
    return tuple(warnings)


def _spread(samples: Sequence[Sample], most: int) -> tuple[Sample, ...]:
    """Picks evenly from samples sorted by path, which keeps the classes in proportion, and mixes them."""
    picked = np.unique(np.linspace(0, len(samples) - 1, min(most, len(samples))).round().astype(int))
    order = np.random.default_rng(0).permutation(len(picked))
    return tuple(samples[int(picked[position])] for position in order)


def _loaded(samples: Sequence[Sample], contract: InputContract) -> LabelledImages:
    batches = list(BatchReader(samples, contract, BATCH_SIZE))
    labels = [sample.is_fake for batch in batches for sample in batch.samples]
    return LabelledImages(tuple(torch.from_numpy(batch.images) for batch in batches), np.array(labels))
