from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calibration.samples import Sample, SampleSet
from calibration.sampling import calibration_sample
from export.errors import DataError

if TYPE_CHECKING:
    import random

ROOT = Path("data")


def sample_set(videos: dict[str, tuple[bool, int, int]]) -> SampleSet:
    """Makes samples of video -> (is_fake, person, number of frames); no file is needed."""
    return SampleSet(
        ROOT,
        tuple(
            Sample(ROOT / video / f"{frame:03d}.png", is_fake, video, (f"id{person}",))
            for video, (is_fake, person, frames) in videos.items()
            for frame in range(frames)
        ),
    )


def uneven_set() -> SampleSet:
    """Person 0 of each class has ten videos, persons 1..4 one each; some videos have many frames."""
    videos = {f"{kind}/{i}": (kind == "fake", 0, 3 + 20 * (i == 0)) for kind in ("real", "fake") for i in range(10)}
    videos |= {f"{kind}/p{p}": (kind == "fake", p, 5) for kind in ("real", "fake") for p in range(1, 5)}
    return sample_set(videos)


videos_strategy = st.dictionaries(
    st.integers(0, 40).map(lambda i: f"v/{i}"),
    st.tuples(st.booleans(), st.integers(0, 5), st.integers(1, 4)),
    max_size=12,
)


@given(videos_strategy, st.integers(1, 60), st.integers(0, 3), st.randoms(use_true_random=False))
def test_draw_has_the_size_asked_for_and_ignores_input_order(
    videos: dict[str, tuple[bool, int, int]], count: int, seed: int, shuffler: random.Random
) -> None:
    samples = sample_set(videos)
    drawn = calibration_sample(samples, count, seed)
    assert len(set(drawn.samples)) == len(drawn.samples) == min(count, len(samples.samples))
    assert set(drawn.samples) <= set(samples.samples)
    shuffled = list(samples.samples)
    shuffler.shuffle(shuffled)
    assert calibration_sample(SampleSet(ROOT, tuple(shuffled)), count, seed) == drawn


@given(videos_strategy, st.integers(1, 60))
def test_classes_are_balanced_as_far_as_they_go(videos: dict[str, tuple[bool, int, int]], count: int) -> None:
    samples = sample_set(videos)
    drawn = calibration_sample(samples, count, 0)
    if min(samples.fake_count, samples.real_count) >= (count + 1) // 2:
        assert drawn.fake_count == count // 2
    else:
        assert min(drawn.fake_count, drawn.real_count) >= min(samples.fake_count, samples.real_count, count // 2)


@given(videos_strategy, st.integers(1, 60), st.integers(0, 3))
def test_no_video_gives_two_frames_more_than_another_that_has_them(
    videos: dict[str, tuple[bool, int, int]], count: int, seed: int
) -> None:
    drawn = Counter(sample.video for sample in calibration_sample(sample_set(videos), count, seed).samples)
    for is_fake in (True, False):
        taken = [(drawn[video], frames) for video, (fake, _, frames) in videos.items() if fake == is_fake]
        most = max((n for n, _ in taken), default=0)
        assert all(n >= min(most - 1, frames) for n, frames in taken)


def test_every_person_is_shown_before_anyone_is_shown_twice() -> None:
    drawn = calibration_sample(uneven_set(), 10, seed=3)
    people = Counter((sample.is_fake, sample.identities) for sample in drawn.samples)
    assert len(people) == 10
    assert set(people.values()) == {1}


def test_seeds_differ() -> None:
    draws = {calibration_sample(uneven_set(), 10, seed).samples for seed in range(5)}
    assert len(draws) == 5


def test_nothing_asked_for_is_refused() -> None:
    with pytest.raises(DataError, match="at least one"):
        calibration_sample(uneven_set(), 0, 0)
