"""`prepared.json`: how the faces of a folder were cut out, and what became of the videos without one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from calibration.samples import FacelessVideo  # noqa: TC001  # decoding resolves the fields' types
from export.face_contract import FaceContract  # noqa: TC001  # as above

if TYPE_CHECKING:
    from pathlib import Path

    from calibration.samples import SampleSet
    from export.contract import ModelContract

RECORD_NAME = "prepared.json"
MANIFEST_NAME = "manifest.csv"


@dataclass(frozen=True)
class PreparedRecord:
    """What `prepare-data` did.

    Attributes:
        faces: How faces were cut out.
        frames: Frames taken of each video.
        detector: What found the faces: `yunet`, `boxes`, or `none` for frames that are faces already.
        detector_sha256: Digest of the detector's file or of the table of boxes; empty for none.
        videos: Number of videos that have faces.
        faceless: Videos in whose frames no face was found.
        failed: Video -> why nothing could be taken from it.
    """

    faces: FaceContract
    frames: int
    detector: str
    detector_sha256: str
    videos: int
    faceless: tuple[FacelessVideo, ...] = ()
    failed: tuple[tuple[str, str], ...] = ()


def read_prepared(root: Path) -> PreparedRecord | None:
    """Reads the record of a folder; None if it was not made by `prepare-data`.

    Raises:
        DataError: The record is damaged.
    """
    raise NotImplementedError


def write_prepared(root: Path, record: PreparedRecord) -> None:
    """Writes the record atomically."""
    raise NotImplementedError


def require_as_declared(samples: SampleSet, contract: ModelContract) -> None:
    """Refuses faces that were cut out otherwise than the model file declares; says nothing of others' faces.

    Raises:
        DataError: A setting differs; the message names it, both values and the command that makes the faces again.
    """
    raise NotImplementedError
