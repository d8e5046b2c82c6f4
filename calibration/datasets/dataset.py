"""One door to all layouts of data sets."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from calibration.datasets.celeb_df import LIST_NAME, is_celeb_df, media_from_celeb_df
from calibration.datasets.deepfakebench import media_from_deepfakebench
from calibration.datasets.dfdc import LABELS_NAME, METADATA_NAME, is_dfdc, media_from_dfdc
from calibration.datasets.duplicates import duplicate_notes
from calibration.datasets.faceforensics import is_faceforensics, media_from_faceforensics
from calibration.datasets.folder_content import counted, listing
from calibration.datasets.manifest import media_from_manifest
from calibration.datasets.manifest_rows import CSV_SUFFIXES, JSON_LINES
from calibration.datasets.media import MediaSet
from calibration.datasets.plain_folders import is_plain_folders, media_from_plain_folders
from calibration.datasets.prepared import MANIFEST_NAME, read_prepared
from calibration.datasets.selection import samples_of_media, split_notes, split_test
from export.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from calibration.datasets.media import Purpose
    from calibration.samples import SampleSet

_FOLDER_LAYOUTS: dict[str, tuple[Callable[[Path], bool], Callable[[Path], MediaSet]]] = {
    "celeb-df": (is_celeb_df, media_from_celeb_df),
    "faceforensics": (is_faceforensics, media_from_faceforensics),
    "dfdc": (is_dfdc, media_from_dfdc),
    "plain-folders": (is_plain_folders, media_from_plain_folders),
}
_PICTURES = {
    "celeb-df": ("Celeb-real/id0_0000.mp4", "Celeb-synthesis/id0_id1_0000/000.png"),
    "faceforensics": ("original_sequences/youtube/c23/videos/000.mp4", "manipulated_sequences/Deepfakes/c23/..."),
    "dfdc": ("dfdc_train_part_0/metadata.json", "dfdc_train_part_0/abc.mp4"),
    "plain-folders": ("real/a.png", "fake/b/000.png"),
    "manifest": ("manifest.csv with the columns path,label", "and any of video,identity,split,frame,..."),
    "deepfakebench": ("LIST.json", "{DATASET: {LABEL: {SPLIT: {VIDEO: {label, frames}}}}}"),
}
KNOWN_LAYOUTS = "known layouts are " + "; ".join(f"{name}: {one} | {two}" for name, (one, two) in _PICTURES.items())
_TOLD_BELOW = 4
# File systems take 255 bytes, and files are written under longer names first.
_LONGEST_NAME = 200


def media_from_path(path: Path) -> MediaSet:
    """Recognises the layout of a folder, a manifest or a list and tells what it holds, in all of its splits.

    Raises:
        DataError: There is nothing, several layouts fit, a label contradicts another one, or no layout fits; the
            message lists those that are known.
    """
    if path.is_dir():
        found = _media_from_folder(path)
    elif path.is_file():
        found = _media_from_file(path)
    else:
        raise DataError(f"no data folder at {path}, nor a manifest or a list")
    if not found.media:
        notes = "".join(f"; {note}" for note in found.notes)
        raise DataError(f"{path} holds neither images nor videos where {found.layout} has them{notes}; {KNOWN_LAYOUTS}")
    _require_sound_names(found)
    return MediaSet(found.root, found.layout, found.media, found.notes + duplicate_notes(found.media))


def samples_from_path(path: Path, purpose: Purpose, split: str | None = None) -> SampleSet:
    """Returns the face images of a data set that may be used for a purpose.

    Args:
        path: A folder, a CSV or JSONL manifest, or a JSON list of DeepfakeBench.
        purpose: Where the data set has splits, `test` takes its test split, `calibration` its training split and
            `validation` its validation split, or else what is not in the test split.
        split: The split to take instead, `all` for every one.

    Raises:
        DataError: As for `media_from_path`; or the split is unknown or empty, or it holds videos that faces must be
            cut out of first; the message says by which command.
    """
    prepared = read_prepared(path if path.is_dir() else path.parent)  # first: an unfinished folder has no layout yet
    found = media_from_path(path)
    is_wanted = split_test(path, [medium.split for medium in found.media], purpose, split)
    samples = samples_of_media(found, tuple(medium for medium in found.media if is_wanted(medium.split)))
    if split is None:
        samples = replace(samples, notes=split_notes(found.media, is_wanted, purpose) + samples.notes)
    if prepared is None:
        return samples
    notes = samples.notes + tuple(f"before faces were cut out: {note}" for note in prepared.notes)
    if prepared.failed:
        video, reason = prepared.failed[0]
        notes += (counted(len(prepared.failed), "videos that could not be prepared", f"{video} ({reason})"),)
    return replace(samples, faceless=tuple(one for one in prepared.faceless if is_wanted(one.split)), notes=notes)


def _media_from_folder(folder: Path) -> MediaSet:
    # Who puts a manifest there says by it what the folder holds, whatever its folders are called.
    if (folder / MANIFEST_NAME).is_file():
        return media_from_manifest(folder / MANIFEST_NAME)
    fitting = [name for name, (is_it, _) in _FOLDER_LAYOUTS.items() if is_it(folder)]
    if len(fitting) == 1:
        return _FOLDER_LAYOUTS[fitting[0]][1](folder)
    if fitting:
        raise DataError(
            f"{folder} is laid out as {' and as '.join(fitting)}; pass the folder of one data set, or write a "
            f"{MANIFEST_NAME} there"
        )
    below = [path for path in listing(folder).folders if _looks_like_one(path)]
    if below:
        raise DataError(
            f"{folder} is no data set, but it holds some: pass {' or '.join(map(str, below[:_TOLD_BELOW]))}"
        )
    raise DataError(f"{folder} has no layout that is known; {KNOWN_LAYOUTS}")


def _media_from_file(path: Path) -> MediaSet:
    suffix = path.suffix.lower()
    if path.name in (LIST_NAME, METADATA_NAME, LABELS_NAME) and _looks_like_one(path.parent):
        raise DataError(f"{path} is a part of a data set; pass the folder that it lies in, {path.parent}")
    if suffix in CSV_SUFFIXES or suffix in JSON_LINES:
        return media_from_manifest(path)
    if suffix == ".json":
        return media_from_deepfakebench(path)
    raise DataError(
        f"{path} is neither a manifest (.csv, .tsv, .jsonl) nor a list (.json) nor a folder; {KNOWN_LAYOUTS}"
    )


def _looks_like_one(folder: Path) -> bool:
    return (folder / MANIFEST_NAME).is_file() or any(is_it(folder) for is_it, _ in _FOLDER_LAYOUTS.values())


def _require_sound_names(found: MediaSet) -> None:
    """Refuses names twice, and names that could not be those of files: pictures of the report are called by them."""
    seen: dict[str, object] = {}
    for medium in found.media:
        place = medium.file or medium.images[0].path
        for text in (medium.video, medium.split, *medium.identities, *(t for pair in medium.attributes for t in pair)):
            if not text.isprintable():
                raise DataError(f"{place}: {text[:60]!r} has letters that cannot be printed; rename that")
        parts = medium.video.split("/")
        is_short = all(len(part.encode()) <= _LONGEST_NAME for part in parts)
        if not is_short or any(part in ("", ".", "..") for part in parts):
            raise DataError(
                f"{place}: a video called {medium.video[:60]!r}; expected FOLDER/NAME, each of at most {_LONGEST_NAME} "
                "bytes: rename it"
            )
        other = seen.setdefault(medium.video, place)
        if other is not place:
            raise DataError(f"the video {medium.video} is there twice, at {other} and {place}; rename or remove one")
