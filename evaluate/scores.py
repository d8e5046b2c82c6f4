"""Scores of frames and of videos, and how the ones become the others."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from export.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True)
class FrameScore:
    """What a runner says about one image.

    Attributes:
        path: The image, relative to the data root where it lies under it.
        video: The video it was cut from, as `folder/name`.
        is_fake: Its label.
        logit: The runner's output; sigmoid(logit) is the score.
    """

    path: str
    video: str
    is_fake: bool
    logit: float


@dataclass(frozen=True)
class VideoScore:
    """What a runner says about one video: one sample of the report.

    Attributes:
        sample: Name of the video, with its folder only where two folders hold that name.
        is_fake: Its label.
        score: Mean over its frames of sigmoid(logit), in [0, 1]; 1 is fake.
        path: The frame whose score is nearest to `score`, which stands for the video in the report.
    """

    sample: str
    is_fake: bool
    score: float
    path: str


@dataclass(frozen=True)
class ScoreSet:
    """The scores of all videos by one runner, sorted by sample."""

    videos: tuple[VideoScore, ...]

    @property
    def is_fake(self) -> NDArray[np.bool_]:
        """Labels, shape (N,)."""
        return np.array([video.is_fake for video in self.videos], dtype=np.bool_)

    @property
    def scores(self) -> NDArray[np.float64]:
        """Scores, shape (N,)."""
        return np.array([video.score for video in self.videos], dtype=np.float64)


def scores_from_logits(logits: Sequence[float] | NDArray[np.floating]) -> NDArray[np.float64]:
    """Returns sigmoid(logits), which does not overflow for any finite logit."""
    return np.exp(-np.logaddexp(0.0, -np.asarray(logits, dtype=np.float64)))


def video_scores_from_frames(frames: Iterable[FrameScore]) -> ScoreSet:
    """Averages the frames' scores per video.

    Raises:
        DataError: Frames of one video carry different labels.
    """
    frames_of_video: dict[str, list[FrameScore]] = defaultdict(list)
    for frame in frames:
        frames_of_video[frame.video].append(frame)
    samples = sample_names_from_videos(frames_of_video)
    videos = [_video_score(samples[video], members) for video, members in frames_of_video.items()]
    return ScoreSet(tuple(sorted(videos, key=lambda video: video.sample)))


def sample_names_from_videos(videos: Iterable[str]) -> dict[str, str]:
    """Maps each `folder/name` to `name`, or to itself where several folders hold that name."""
    distinct = sorted(set(videos))
    holders = Counter(_name_of_video(video) for video in distinct)
    return {video: _name_of_video(video) if holders[_name_of_video(video)] == 1 else video for video in distinct}


def _name_of_video(video: str) -> str:
    return video.rsplit("/", 1)[-1]


def _video_score(sample: str, frames: list[FrameScore]) -> VideoScore:
    labels = {frame.is_fake for frame in frames}
    if len(labels) != 1:
        raise DataError(f"the frames of {frames[0].video} are labelled both real and fake; a video has one label")
    scores = scores_from_logits([frame.logit for frame in frames]).tolist()
    # fsum is exact, so the score does not depend on the order in which the frames were read.
    mean = math.fsum(scores) / len(scores)
    distances = [(abs(score - mean), frame.path) for score, frame in zip(scores, frames, strict=True)]
    return VideoScore(sample, labels.pop(), mean, min(distances)[1])
