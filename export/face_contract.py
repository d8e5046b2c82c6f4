"""How faces come out of a video and scores of frames become one: as much a part of a detector as its weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from export.declared import expect, expect_choice

CropShape = Literal["square", "box"]
Outside = Literal["black", "cut"]
FaceChoice = Literal["largest", "consistent", "all"]
NoFace = Literal["exclude", "half", "error"]
Aggregation = Literal["mean-probability", "mean-logit", "max", "confident"]

_MOST_FRAMES = 100_000


@dataclass(frozen=True)
class FaceContract:
    """How faces are cut out of frames.

    Attributes:
        margin: Added on each side, 0 to 2: as a share of the detected box's width and height, or of the square that the
            five landmarks define where faces are aligned.
        shape: `square` widens the shorter side of the box to the longer one, `box` keeps the box as it is.
        aligned: Whether the face is turned upright by its five landmarks, and its eyes put at fixed places.
        outside: What becomes of the part of a crop that lies outside of the frame: it is black, or it is cut off, which
            leaves a smaller crop of another aspect ratio.
        choice: `largest` takes one face of a frame, `consistent` one person through a video; `all` takes each, and the
            frame's score is the largest of theirs.
        min_score: Least confidence of the detector, 0 to 1.
        min_area: Least area of a face, as a share of that of the largest in its frame, 0 to 1; tells where `all` are
            taken.
        no_face: What becomes of a video in which no face is found: left out and counted, scored 0.5, or an error.
    """

    margin: float = 0.3
    shape: CropShape = "square"
    aligned: bool = False
    outside: Outside = "black"
    choice: FaceChoice = "largest"
    min_score: float = 0.6
    min_area: float = 0.0
    no_face: NoFace = "exclude"

    def __post_init__(self) -> None:
        _expect_number("faces.margin", self.margin, 0.0, 2.0)
        expect_choice("faces.shape", self.shape, CropShape)
        expect(isinstance(self.aligned, bool), "faces.aligned", self.aligned, "true or false")
        expect(not self.aligned or self.shape == "square", "faces.shape", self.shape, "square, as faces are aligned")
        expect_choice("faces.outside", self.outside, Outside)
        expect(
            not self.aligned or self.outside == "black", "faces.outside", self.outside, "black, as faces are aligned"
        )
        expect_choice("faces.choice", self.choice, FaceChoice)
        _expect_number("faces.min_score", self.min_score, 0.0, 1.0)
        _expect_number("faces.min_area", self.min_area, 0.0, 1.0)
        expect_choice("faces.no_face", self.no_face, NoFace)


@dataclass(frozen=True)
class VideoContract:
    """How a video becomes one score.

    Attributes:
        frames: Frames taken of a video file, evenly spaced from its first to its last.
        aggregation: What makes a video's score of its frames'; see `evaluate.aggregation`.
    """

    frames: int = 32
    aggregation: Aggregation = "mean-probability"

    def __post_init__(self) -> None:
        whole = isinstance(self.frames, int) and not isinstance(self.frames, bool)
        expect(whole and 1 <= self.frames <= _MOST_FRAMES, "video.frames", self.frames, f"1..{_MOST_FRAMES}")
        expect_choice("video.aggregation", self.aggregation, Aggregation)


def _expect_number(key: str, value: object, smallest: float, largest: float) -> None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    within = is_number and smallest <= value <= largest  # type: ignore[operator]  # mypy does not see is_number
    expect(bool(within), key, value, f"a number from {smallest:g} to {largest:g}")
