"""Scores of frames and of videos, and how the ones become the others."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from evaluate.aggregation import aggregated_score, scores_from_logits
from export.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from calibration.samples import FacelessVideo
    from export.face_contract import Aggregation

FACELESS_SCORE = 0.5


@dataclass(frozen=True)
class FrameScore:
    """What a runner says about one image.

    Attributes:
        path: The image, relative to the data root where it lies under it.
        video: The video it was cut from, as `folder/name`.
        is_fake: Its label.
        logit: The runner's output; sigmoid(logit) is the score.
        frame: What it shares with the other faces of the same frame; empty if it is the frame's only one.
    """

    path: str
    video: str
    is_fake: bool
    logit: float
    frame: str = ""


@dataclass(frozen=True)
class VideoScore:
    """What a runner says about one video: one sample of the report.

    Attributes:
        sample: Name of the video, with its folder only where two folders hold that name.
        is_fake: Its label.
        score: What `evaluate.aggregation` makes of its frames, in [0, 1]; 1 is fake.
        path: The frame whose score is nearest to `score`, which stands for the video in the report; empty for a video
            without a face.
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


def video_scores_from_frames(
    frames: Iterable[FrameScore], aggregation: Aggregation, at_half: Iterable[FacelessVideo] = ()
) -> ScoreSet:
    """Makes one score of each video's frames.

    Args:
        frames: One logit per face; the largest of a frame's faces is the frame's.
        aggregation: What makes one of the frames' scores; see `evaluate.aggregation`.
        at_half: Videos without a face, which get 0.5.

    Raises:
        DataError: Frames of one video carry different labels, or a video without a face has some.
    """
    frames_of_video: dict[str, list[FrameScore]] = defaultdict(list)
    for frame in strongest_faces(frames):
        frames_of_video[frame.video].append(frame)
    faceless = {video.video: video.is_fake for video in at_half}
    both = sorted(faceless.keys() & frames_of_video.keys())
    if both:
        raise DataError(f"{both[0]} is listed as a video without a face, but has frames; prepare the data set again")
    samples = sample_names_from_videos([*frames_of_video, *faceless])
    videos = [_video_score(samples[video], members, aggregation) for video, members in frames_of_video.items()]
    videos += [VideoScore(samples[video], is_fake, FACELESS_SCORE, "") for video, is_fake in faceless.items()]
    return ScoreSet(tuple(sorted(videos, key=lambda video: video.sample)))


def strongest_faces(frames: Iterable[FrameScore]) -> tuple[FrameScore, ...]:
    """Returns one face per frame, that of the largest logit and of equals the first by path, sorted by frame."""
    strongest: dict[tuple[str, str, str], FrameScore] = {}
    for face in frames:
        key = (face.video, face.frame, "" if face.frame else face.path)
        other = strongest.get(key)
        if other is None or (-face.logit, face.path) < (-other.logit, other.path):
            strongest[key] = face
    return tuple(strongest[key] for key in sorted(strongest))


def sample_names_from_videos(videos: Iterable[str]) -> dict[str, str]:
    """Maps each `folder/name` to `name`, or to itself where several folders hold that name."""
    distinct = sorted(set(videos))
    holders = Counter(_name_of_video(video) for video in distinct)
    return {video: _name_of_video(video) if holders[_name_of_video(video)] == 1 else video for video in distinct}


def _name_of_video(video: str) -> str:
    return video.rsplit("/", 1)[-1]


def _video_score(sample: str, frames: list[FrameScore], aggregation: Aggregation) -> VideoScore:
    labels = {frame.is_fake for frame in frames}
    if len(labels) != 1:
        raise DataError(f"the frames of {frames[0].video} are labelled both real and fake; a video has one label")
    logits = [frame.logit for frame in frames]
    video = aggregated_score(logits, aggregation)
    scores = scores_from_logits(logits).tolist()
    distances = [(abs(score - video), frame.path) for score, frame in zip(scores, frames, strict=True)]
    return VideoScore(sample, labels.pop(), video, min(distances)[1])
