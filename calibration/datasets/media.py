"""What a data set holds, before any of it is decoded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pathlib import Path

Layout = Literal["celeb-df", "faceforensics", "dfdc", "deepfakebench", "plain-folders", "manifest"]
# What a set is used for decides which of its splits are taken where it has any.
Purpose = Literal["calibration", "validation", "test"]


@dataclass(frozen=True)
class FaceImage:
    """One image of a video.

    Attributes:
        path: The image file.
        frame: What it shares with the other faces of the same frame; empty if it is the frame's only one.
    """

    path: Path
    frame: str = ""


@dataclass(frozen=True)
class Medium:
    """One labelled video: a file, or the images that were taken of it. A single picture is a video of one image.

    Attributes:
        video: `folder/name`, unique in the data set.
        is_fake: Its label.
        identities: Every person in it, the target of a face swap first; where nothing tells, the video's own name.
        split: The part of the data set that it belongs to, as that calls it; empty if it has none.
        attributes: Column -> value of what the test set can be sliced by, sorted by column.
        file: The video file; None where there are images.
        images: Its images in the order of time; empty where there is a file.
    """

    video: str
    is_fake: bool
    identities: tuple[str, ...]
    split: str = ""
    attributes: tuple[tuple[str, str], ...] = ()
    file: Path | None = None
    images: tuple[FaceImage, ...] = ()


@dataclass(frozen=True)
class MediaSet:
    """The videos of a data set, sorted by name.

    Attributes:
        root: Folder under which all files lie.
        layout: How it was recognised.
        media: Its videos.
        notes: What a user should know: what was skipped and why, duplicates.
    """

    root: Path
    layout: Layout
    media: tuple[Medium, ...]
    notes: tuple[str, ...] = ()
