"""Reader of the Deepfake Detection Challenge's parts, each with its labels beside the videos.

DATA/dfdc_train_part_0/metadata.json    {"aagfhgtpmv.mp4": {"label": "FAKE", "split": "train", "original": ...}}
DATA/dfdc_train_part_0/aagfhgtpmv.mp4   or a folder of frames, aagfhgtpmv/000.png
DATA/labels.csv                         filename,label with 1 for fake, in the place of metadata.json
"""

from __future__ import annotations

import csv
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from calibration.datasets.folder_content import Leftovers, counted, listing, videos_in
from calibration.datasets.media import FaceImage, MediaSet, Medium
from export.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

METADATA_NAME = "metadata.json"
LABELS_NAME = "labels.csv"
_COLUMNS = ("filename", "label")
_LABELS = {"FAKE": True, "REAL": False, "1": True, "0": False}
# Archives of the challenge unpack into folders such as dfdc_train_part_00/dfdc_train_part_0.
_UNPACKED = re.compile(r"dfdc_train_part_\d+")


@dataclass(frozen=True)
class _Entry:
    is_fake: bool
    split: str = ""
    original: str = ""


def is_dfdc(root: Path) -> bool:
    """Tells whether a folder, or one that it holds, has labels as the challenge writes them."""
    return next(_parts(root), None) is not None


def media_from_dfdc(root: Path) -> MediaSet:
    """Finds every labelled video under `root`; of a fake one, the identity is the name of its original.

    Raises:
        DataError: A label is neither real nor fake, or the two files contradict each other, or a part holds a video
            twice.
    """
    leftovers = Leftovers()
    media, missing, unlabelled = [], [], []
    for folder in _parts(root):
        entries = _entries(folder)
        part = folder.absolute().name
        videos = {video.name: video for video in videos_in(folder, leftovers)}
        missing += [f"{part}/{name}" for name in entries if name not in videos]
        unlabelled += [f"{part}/{name}" for name in videos if name not in entries]
        for name in entries.keys() & videos.keys():
            entry, video = entries[name], videos[name]
            images = tuple(map(FaceImage, video.images))
            identities = (entry.original or name,)
            attributes = (("part", part),)
            media.append(
                Medium(f"{part}/{name}", entry.is_fake, identities, entry.split, attributes, video.file, images)
            )
    leftovers.other_files = [path for path in leftovers.other_files if path.name not in (METADATA_NAME, LABELS_NAME)]
    notes = leftovers.notes()
    notes += (counted(len(missing), "labelled videos that are not there", missing[0]),) if missing else ()
    notes += (counted(len(unlabelled), "videos left out for lack of a label", unlabelled[0]),) if unlabelled else ()
    return MediaSet(root, "dfdc", tuple(sorted(media, key=lambda medium: medium.video)), notes)


def _parts(root: Path) -> Iterator[Path]:
    """Yields the folders that hold labels; what lies below one belongs to it."""
    if _has_labels(root):
        yield root
        return
    for folder in listing(root).folders:
        if _has_labels(folder):
            yield folder
        elif _UNPACKED.fullmatch(folder.name):
            yield from filter(_has_labels, listing(folder).folders)


def _has_labels(folder: Path) -> bool:
    return _is_metadata(folder / METADATA_NAME) or _is_labels(folder / LABELS_NAME)


def _is_metadata(path: Path) -> bool:
    if not path.is_file():
        return False
    try:
        stored = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return False
    first = next(iter(stored.values()), None) if isinstance(stored, dict) else None
    return isinstance(first, dict) and ("label" in first or "is_fake" in first)


def _is_labels(path: Path) -> bool:
    if not path.is_file():
        return False
    try:
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as stream:
            return tuple(name.strip().lower() for name in next(csv.reader(stream), [])) == _COLUMNS
    except csv.Error:
        return False


def _entries(folder: Path) -> dict[str, _Entry]:
    """Returns name of a video -> what is said of it."""
    said = _from_metadata(folder / METADATA_NAME) if _is_metadata(folder / METADATA_NAME) else {}
    labelled = _from_labels(folder / LABELS_NAME) if _is_labels(folder / LABELS_NAME) else {}
    for name, entry in labelled.items():
        if said.setdefault(name, entry).is_fake != entry.is_fake:
            raise DataError(f"{folder}: {METADATA_NAME} and {LABELS_NAME} disagree on {name}; remove one of the files")
    return said


def _from_metadata(path: Path) -> dict[str, _Entry]:
    return {_stem(name): _entry(path, name, stated) for name, stated in json.loads(path.read_bytes()).items()}


def _entry(path: Path, name: str, stated: Any) -> _Entry:
    if not isinstance(stated, dict):
        raise DataError(f"{path} says {stated!r} of {name}; expected an object with a label")
    label = stated.get("label", stated.get("is_fake"))
    split, original = stated.get("split") or "", stated.get("original") or ""
    if not isinstance(split, str) or not isinstance(original, str):
        raise DataError(f"{path}: split or original of {name} is no text")
    return _Entry(_is_fake(f"{path}: {name}", label), split, _stem(original))


def _from_labels(path: Path) -> dict[str, _Entry]:
    found: dict[str, _Entry] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            rows = csv.reader(stream, strict=True)
            next(rows)
            for row in rows:
                place = f"{path}:{rows.line_num}"
                if len(row) != len(_COLUMNS):
                    raise DataError(f"{place}: {len(row)} fields; expected filename,label")
                entry = _Entry(_is_fake(place, row[1]))
                if found.setdefault(_stem(row[0]), entry) != entry:
                    raise DataError(f"{place}: {row[0]} has two labels; correct the file")
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{path} is no CSV file in UTF-8 ({error}); save it anew") from error
    return found


def _is_fake(place: str, label: object) -> bool:
    key = str(int(label) if isinstance(label, bool) else label).strip().upper()
    if key not in _LABELS:
        raise DataError(f"{place}: label {label!r}; expected FAKE or REAL, or 1 for fake and 0 for real")
    return _LABELS[key]


def _stem(name: str) -> str:
    return name.strip().rpartition("/")[2].rpartition(".")[0] or name.strip()
