"""What `prepare-data` was asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from export.face_contract import FaceContract


@dataclass(frozen=True)
class PreparationRequest:
    """What `prepare-data` was asked for.

    Attributes:
        source: The data set: a folder, a manifest or a list.
        out: Folder for the crops.
        faces: How faces are cut out.
        frames: Frames taken of each video.
        detector: A YuNet ONNX file that finds the faces.
        boxes: A CSV of boxes that says where they are.
        whole_frames: Whether the frames of video files are faces already; needs neither of the two.
        split: The split to take; None for every one.
        workers: Videos prepared at a time.
        skip_unreadable: Whether to go on without videos that cannot be read.
    """

    source: Path
    out: Path
    faces: FaceContract
    frames: int
    detector: Path | None = None
    boxes: Path | None = None
    whole_frames: bool = False
    split: str | None = None
    workers: int = 1
    skip_unreadable: bool = False

    @property
    def finds_faces(self) -> bool:
        """Whether faces are cut out, rather than frames taken as faces."""
        return self.detector is not None or self.boxes is not None
