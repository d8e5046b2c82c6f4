"""What was made of one video, and the file that says so."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from export.decoding import decoded_from_json
from export.errors import ArtifactError
from export.sidecar import read_json, write_json

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Crop:
    """A face that was cut out.

    Attributes:
        file: Its name in the folder of the video.
        frame: Number of the frame that it was cut from.
        sha256: Digest of the file.
    """

    file: str
    frame: int
    sha256: str


@dataclass(frozen=True)
class VideoRecord:
    """What was made of one video.

    Attributes:
        video: Its name.
        folder: Where its crops lie, relative to the output folder; there is none without crops.
        key: Digest of all that determines the crops.
        length: Frames that the video has.
        frames: Those of them that were looked at.
        damage: What does not decode; empty if all does.
        crops: The faces, in the order of time.
    """

    video: str
    folder: str
    key: str
    length: int
    frames: int
    damage: str
    crops: tuple[Crop, ...]

    @property
    def frames_with_face(self) -> int:
        """Number of frames in which a face was found."""
        return len({crop.frame for crop in self.crops})


def read_record(path: Path) -> VideoRecord | None:
    """Reads a record; None if there is none or it is damaged, which means that the video is prepared again."""
    if not path.is_file():
        return None
    try:
        record = decoded_from_json(VideoRecord, read_json(path))
    except (ArtifactError, ValueError):
        return None
    return record if all("/" not in crop.file for crop in record.crops) and _is_inner(record.folder) else None


def write_record(path: Path, record: VideoRecord) -> None:
    """Writes a record atomically."""
    write_json(path, asdict(record))


def _is_inner(folder: str) -> bool:
    return not folder.startswith("/") and ".." not in folder.split("/")
