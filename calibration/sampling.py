"""Choice of the calibration images: both classes, many people, many videos, and the same ones every time."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from calibration.samples import SampleSet, path_from_root
from export.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from calibration.samples import Sample

Item = TypeVar("Item")

HELD_BACK_SHARE = 4


def calibration_sample(samples: SampleSet, count: int, seed: int) -> SampleSet:
    """Draws a calibration set, the same one whatever the order of the input.

    Half of the images are fake; if one class has too few, the other fills up. Within a class no video gives a second
    frame before every video has given one, and among videos with equally many frames taken no person gives a second
    video before everyone has given one: composition matters more than size.

    Args:
        samples: What to draw from.
        count: Number of images wanted; if there are fewer, all are taken.
        seed: Seed of the draw.

    Returns:
        The drawn samples, sorted by path.

    Raises:
        DataError: `count` is not positive.
    """
    if count < 1:
        raise DataError(f"asked for {count} calibration images; ask for at least one, 256 is usual")
    ordered = sorted(samples.samples, key=lambda sample: path_from_root(sample.path, samples.root))
    rng = np.random.default_rng(seed)
    fakes = _spread([sample for sample in ordered if sample.is_fake], rng)
    reals = _spread([sample for sample in ordered if not sample.is_fake], rng)
    fake_count = max(min(count // 2, len(fakes)), count - len(reals))
    drawn = fakes[:fake_count] + reals[: count - min(fake_count, len(fakes))]
    return SampleSet(samples.root, tuple(sorted(drawn, key=lambda sample: sample.path)))


def split_by_video(samples: SampleSet) -> tuple[tuple[Sample, ...], tuple[Sample, ...]]:
    """Splits a set into images to fit to and images to judge with: every fourth video of each class is held back."""
    held_back = set()
    for is_fake in (False, True):
        videos = sorted({sample.video for sample in samples.samples if sample.is_fake == is_fake})
        held_back.update(videos[HELD_BACK_SHARE - 1 :: HELD_BACK_SHARE])
    return (
        tuple(sample for sample in samples.samples if sample.video not in held_back),
        tuple(sample for sample in samples.samples if sample.video in held_back),
    )


def _spread(samples: list[Sample], rng: np.random.Generator) -> list[Sample]:
    """Orders samples so that every beginning of the list is spread over videos first and identities second."""
    frames: defaultdict[str, list[Sample]] = defaultdict(list)
    for sample in _shuffled(samples, rng):
        frames[sample.video].append(sample)
    shown: Counter[str] = Counter()
    rank: dict[str, tuple[int, int]] = {}
    for video in _shuffled(frames, rng):
        person = frames[video][0].identities[0]
        rank[video] = (shown[person], len(rank))
        shown[person] += 1
    ranked = [(turn, rank[video], sample) for video, own in frames.items() for turn, sample in enumerate(own)]
    return [sample for _, _, sample in sorted(ranked, key=lambda entry: entry[:2])]


def _shuffled(items: Iterable[Item], rng: np.random.Generator) -> list[Item]:
    listed = list(items)
    return [listed[position] for position in rng.permutation(len(listed))]
