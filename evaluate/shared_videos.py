"""The videos that all engines have scored on the same images, which alone can be compared."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from calibration.samples import path_from_root
from export.errors import ArtifactError, DataError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from calibration.samples import SampleSet
    from evaluate.scores import FrameScore


@dataclass(frozen=True)
class SharedVideos:
    """What is left of the test set for a fair comparison.

    Attributes:
        videos: Those that every engine has scored on the same images.
        left_out: Variant -> number of videos that it lacks, or of which it lacks images.
    """

    videos: frozenset[str]
    left_out: Mapping[str, int]

    @property
    def is_partial(self) -> bool:
        """Whether a video is left out."""
        return any(self.left_out.values())

    def frames(self, scored: Sequence[FrameScore]) -> tuple[FrameScore, ...]:
        """Returns the frames of these videos, in an order that is the same for all engines."""
        return tuple(sorted((f for f in scored if f.video in self.videos), key=lambda frame: (frame.video, frame.path)))


def shared_videos(
    samples: SampleSet, frames_of: Mapping[str, Sequence[FrameScore]], unreadable: frozenset[str]
) -> SharedVideos:
    """Compares what engines have scored with the test set and, by that, with each other.

    Args:
        samples: The test set.
        frames_of: Variant -> its scores of frames.
        unreadable: Images that did not decode for any engine, relative to the root; no engine is missing them.

    Raises:
        ArtifactError: A score is not of the test set, or of another label.
    """
    wanted: defaultdict[str, set[str]] = defaultdict(set)
    known = {path_from_root(s.path, samples.root): (s.video, s.is_fake, s.frame) for s in samples.samples}
    for path, (video, *_) in known.items():
        if path not in unreadable:
            wanted[video].add(path)
    left_out: dict[str, set[str]] = {}
    for variant, frames in frames_of.items():
        has: defaultdict[str, set[str]] = defaultdict(set)
        for frame in frames:
            if known.get(frame.path) != (frame.video, frame.is_fake, frame.frame):
                raise ArtifactError(
                    f"{variant} has a score of {frame.path} of {frame.video}, labelled {int(frame.is_fake)}, which "
                    f"{samples.root} does not hold so; delete its scores and score it again"
                )
            has[frame.video].add(frame.path)
        left_out[variant] = {video for video, paths in wanted.items() if has[video] != paths}
    shared = frozenset(wanted) - frozenset().union(*left_out.values())
    return SharedVideos(shared, {variant: len(videos) for variant, videos in left_out.items()})


def require_comparable(shared: SharedVideos, allow_partial: bool) -> None:
    """Refuses scores of which some lack, unless that is allowed and something is left.

    Raises:
        DataError: A video is left out; the message names the variant that lacks most.
    """
    if not shared.is_partial or (allow_partial and shared.videos):
        return
    variant, count = max(shared.left_out.items(), key=lambda item: item[1])
    remedy = "score all engines again on one machine"
    if shared.videos:
        remedy += f", or pass --allow-partial to compare them on the other {len(shared.videos)} videos"
    raise DataError(f"{variant} has no scores of {count} videos, or not of all their images; {remedy}")
