"""What the report says about the images it rests on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from export.face_contract import NoFace  # noqa: TC001  # decoding resolves the fields' types


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
        faces: Number of faces scored; more than frames where a frame has several.
        faceless_fakes: Fake videos in which no face was found, by name.
        faceless_reals: Real ones, likewise.
        split: The split of the data set that was asked for; empty for the one that is for testing.
        no_face: What became of these: `exclude` leaves them out, `half` scores them 0.5.
        notes: What the data set's reader had to say: what it skipped, which videos it found twice.
    """

    root: str
    sha256: str
    fake_videos: int
    real_videos: int
    frames: int
    unreadable_frames: int = 0
    lost_videos: int = 0
    faces: int = 0
    faceless_fakes: tuple[str, ...] = ()
    faceless_reals: tuple[str, ...] = ()
    split: str = ""
    no_face: NoFace = "exclude"
    notes: tuple[str, ...] = ()

    @property
    def videos(self) -> int:
        """Number of videos scored."""
        return self.fake_videos + self.real_videos

    @property
    def faceless(self) -> int:
        """Number of videos in which no face was found."""
        return len(self.faceless_fakes) + len(self.faceless_reals)


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


@dataclass(frozen=True)
class LookalikePair:
    """Two images that look like one picture.

    Attributes:
        image: The image of the other set, relative to its root.
        test_image: The test image, likewise.
        likeness: Correlation of the two, laid over each other; see `evaluate.likeness`.
    """

    image: str
    test_image: str
    likeness: float


@dataclass(frozen=True)
class LookalikeFacts:
    """Whether images that something was chosen by look like test images.

    Attributes:
        purpose: What they are for.
        images: Number of them that were compared with all test images; 0 where `lack` says why none was.
        pairs: Number of pairs that look alike.
        worst: The pairs that look most alike.
        lack: Why they could not be compared; empty where they were.
    """

    purpose: Literal["calibration", "validation"]
    images: int
    pairs: int
    worst: tuple[LookalikePair, ...] = ()
    lack: str = ""
