"""What the report says about the images it rests on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DatasetFacts:
    """The test set.

    Attributes:
        root: Its folder.
        sha256: Digest of names, labels and contents.
        fake_videos: Number of fake videos scored.
        real_videos: Number of real videos scored.
        frames: Number of frames scored.
        unreadable_frames: Number of images left out because they do not decode.
        lost_videos: Number of videos left out because none of their images decodes.
    """

    root: str
    sha256: str
    fake_videos: int
    real_videos: int
    frames: int
    unreadable_frames: int = 0
    lost_videos: int = 0

    @property
    def videos(self) -> int:
        """Number of videos scored."""
        return self.fake_videos + self.real_videos


@dataclass(frozen=True)
class CalibrationFacts:
    """The images INT8 was calibrated on, and how.

    Attributes:
        root: Their folder.
        sha256: Digest of names, labels and contents.
        fake_images: Number of fake images.
        real_images: Number of real images.
        videos: Number of videos they come from.
        method: How activation ranges were chosen, in words.
        unreadable_images: Number of images left out because they do not decode.
    """

    root: str
    sha256: str
    fake_images: int
    real_images: int
    videos: int
    method: str
    unreadable_images: int = 0

    @property
    def images(self) -> int:
        """Number of images."""
        return self.fake_images + self.real_images
