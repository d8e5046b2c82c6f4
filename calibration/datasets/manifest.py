"""Reader of a table with a row for each image, folder of frames or video.

    path,label,video,identity,split,frame,compression
    faces/a/000.png,fake,Deepfakes/000_003,000;003,test,,c23

Only path and label are needed. Paths are absolute or relative to the table; a label is 1 or fake, 0 or real; persons
are separated by semicolons; faces of one frame share what stands in its column; any other column makes slices.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from calibration.datasets.folder_content import counted, is_image, is_video, listing
from calibration.datasets.manifest_rows import rows_of_manifest
from calibration.datasets.media import FaceImage, MediaSet, Medium
from export.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Collection

    from calibration.datasets.csv_table import Row

COLUMNS = ("path", "label", "video", "identity", "split", "frame")
PERSON_SEPARATOR = ";"
LABELS = {"1": True, "fake": True, "0": False, "real": False}


@dataclass
class _Entry:
    """A video while its rows are gathered; `place` is that of the first."""

    place: str
    is_fake: bool
    identities: tuple[str, ...]
    split: str
    attributes: dict[str, str]
    files: list[Path] = field(default_factory=list)
    images: list[FaceImage] = field(default_factory=list)


def media_from_manifest(path: Path) -> MediaSet:
    """Reads a table; a file that is not there is told, not refused, because people often hold a part of a data set.

    Raises:
        DataError: A row cannot be read, names a path twice or contradicts another one of its video; the message names
            the line. Or not one path is there.
    """
    root = path.parent
    entries: dict[str, _Entry] = {}
    varying: set[str] = set()
    missing: list[str] = []
    placed: dict[Path, str] = {}
    for row in rows_of_manifest(path):
        file = _file(root, row)
        _require_new(file, row, placed)
        if not file.exists():
            missing.append(row.values["path"])
            continue
        entry = _entry(row, entries)
        varying |= {name for name, _ in entry.attributes.items() ^ _attributes(row).items()}
        for image in _take(row, file, entry):
            _require_new(image, row, placed)
    if missing and not entries:
        raise DataError(
            f"not one of the {len(missing)} paths in {path} is there, such as {missing[0]}; they are relative to {root}"
        )
    media = tuple(_medium(video, entries[video], varying) for video in sorted(entries))
    notes = []
    if missing:
        notes.append(counted(len(missing), "paths of the manifest that are not there", missing[0]))
    if varying:
        notes.append(
            f"columns that vary within videos, so that no slices are made by them: {', '.join(sorted(varying))}"
        )
    return MediaSet(root, "manifest", media, tuple(notes))


def _file(root: Path, row: Row) -> Path:
    text = row.values["path"]
    if not text or "\0" in text:
        raise DataError(f"{row.place}: no path; expected that of an image, a folder of frames or a video")
    # Tables that were written on Windows.
    return root / (text.replace("\\", "/") if "\\" in text and not (root / text).exists() else text)


def _entry(row: Row, entries: dict[str, _Entry]) -> _Entry:
    named = row.values.get("video", "")
    video = named or _own_name(row)
    label = row.values["label"].lower()
    if label not in LABELS:
        raise DataError(f"{row.place}: label {row.values['label']!r}; expected 1 or fake, 0 or real")
    people = tuple(name for part in row.values.get("identity", "").split(PERSON_SEPARATOR) if (name := part.strip()))
    fresh = _Entry(row.place, LABELS[label], people or (video,), row.values.get("split", ""), _attributes(row))
    entry = entries.setdefault(video, fresh)
    if entry is not fresh and not named:
        raise DataError(f"{row.place}: {entry.place} has a video {video}, too; name both in a column video")
    for what in ("is_fake", "identities", "split"):
        if getattr(entry, what) != getattr(fresh, what):
            column = {"is_fake": "label", "identities": "identity"}.get(what, what)
            raise DataError(f"{row.place}: {video} has another {column} in {entry.place}; all of its rows must agree")
    return entry


def _own_name(row: Row) -> str:
    path = Path(row.values["path"].replace("\\", "/"))
    path = path.with_suffix("") if is_image(path) or is_video(path) else path
    return "/".join(part for part in path.parts if part not in (path.anchor, ".."))


def _attributes(row: Row) -> dict[str, str]:
    return {name: value for name, value in row.values.items() if name and name not in COLUMNS and value}


def _require_new(file: Path, row: Row, placed: dict[Path, str]) -> None:
    if placed.setdefault(file, row.place) != row.place:
        raise DataError(f"{row.place}: {file} is named in {placed[file]}, too; remove one of the rows")


def _take(row: Row, file: Path, entry: _Entry) -> tuple[Path, ...]:
    """Adds what a row names to its video and returns the images that it stands for besides itself."""
    frame = row.values.get("frame", "")
    images: tuple[Path, ...] = ()
    if file.is_dir():
        images = listing(file).images
        if not images:
            raise DataError(f"{row.place}: the folder {file} holds no images")
        entry.images += [FaceImage(image, frame) for image in images]
    elif is_image(file):
        entry.images.append(FaceImage(file, frame))
    elif is_video(file):
        entry.files.append(file)
    else:
        raise DataError(f"{row.place}: {file} is neither an image nor a video nor a folder; remove the row")
    if len(entry.files) + bool(entry.images) > 1:
        raise DataError(f"{row.place}: the video of {entry.place} has a file already; give this one another name")
    return images


def _medium(video: str, entry: _Entry, varying: Collection[str]) -> Medium:
    attributes = tuple(sorted((name, value) for name, value in entry.attributes.items() if name not in varying))
    file = entry.files[0] if entry.files else None
    return Medium(video, entry.is_fake, entry.identities, entry.split, attributes, file, tuple(entry.images))
