"""`prepared.json`: how the faces of a folder were cut out, and what became of the videos without one."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from calibration.samples import FacelessVideo  # noqa: TC001  # decoding resolves the fields' types
from export.decoding import decoded_from_json
from export.errors import ArtifactError, ContractError, DataError
from export.face_contract import FaceContract  # noqa: TC001  # as above
from export.sidecar import read_json, write_json

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from calibration.samples import SampleSet
    from export.contract import ModelContract

RECORD_NAME = "prepared.json"
MANIFEST_NAME = "manifest.csv"
# Where `prepare-data` keeps what it needs to go on; without a record beside it, it has not finished.
WORK_FOLDER = ".prepared"
_REMEDY = "run prepare-data again"


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
        notes: What else a user should know of the videos: what was left out and why, duplicates, damage.
    """

    faces: FaceContract
    frames: int
    detector: str
    detector_sha256: str
    videos: int
    faceless: tuple[FacelessVideo, ...] = ()
    failed: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()


def read_prepared(root: Path) -> PreparedRecord | None:
    """Reads the record of a folder; None if it was not made by `prepare-data`.

    Raises:
        DataError: The record is damaged, or `prepare-data` has not finished there.
    """
    path = root / RECORD_NAME
    if not path.exists():
        if (root / WORK_FOLDER).is_dir():
            raise DataError(f"{root} is not complete: prepare-data was interrupted or has failed there; {_REMEDY}")
        return None
    try:
        return decoded_from_json(PreparedRecord, read_json(path))
    except (ArtifactError, ContractError, ValueError, TypeError) as error:
        raise DataError(f"{path} is damaged ({error}); {_REMEDY}") from error


def write_prepared(root: Path, record: PreparedRecord) -> None:
    """Writes the record atomically."""
    write_json(root / RECORD_NAME, asdict(record))


def require_as_declared(samples: SampleSet, contract: ModelContract) -> None:
    """Refuses faces that were cut out otherwise than the model file declares; says nothing of others' faces.

    Raises:
        DataError: A setting differs; the message names it, both values and the command that makes the faces again.
    """
    record = read_prepared(samples.root)
    if record is None or contract.faces is None:
        return
    different = [
        f"{key} = {found!r} where the model file declares {declared!r}"
        for key, found, declared in _settings(record, contract.faces, contract.video.frames)
        if found != declared
    ]
    if different:
        raise DataError(
            f"{samples.root} was prepared with {', '.join(different)}; run: prepare-data SRC {samples.root} --model "
            "model.toml, or correct the model file"
        )


def require_prepared_alike(root: Path, other: Path) -> None:
    """Refuses two folders of faces that were not cut out alike; says nothing where either was not prepared.

    How many frames were taken may differ: that makes no other faces.

    Raises:
        DataError: A setting or the detector's file differs; the message names them.
    """
    one, two = read_prepared(root), read_prepared(other)
    if one is None or two is None or "none" in (one.detector, two.detector):
        return
    different = [
        f"{key} = {found!r} and {wanted!r}"
        for key, found, wanted in _settings(one, two.faces, one.frames)
        if found != wanted
    ]
    # Every data set has a table of boxes of its own, which says nothing of how it was made.
    if one.detector == two.detector == "yunet" and one.detector_sha256 != two.detector_sha256:
        different.append("two versions of YuNet")
    if different:
        raise DataError(
            f"{root} and {other} were prepared with {', '.join(different)}; prepare one of them again, and declare "
            "[faces] in the model file"
        )


def _settings(record: PreparedRecord, faces: FaceContract, frames: int) -> Iterator[tuple[str, object, object]]:
    yield "video.frames", record.frames, frames
    if record.detector == "none":  # nobody knows how those were cut out
        return
    prepared = asdict(record.faces)
    for key, declared in asdict(faces).items():
        if key != "no_face":  # decides what is made of a video without faces, not how faces are cut out
            yield f"faces.{key}", prepared[key], declared
