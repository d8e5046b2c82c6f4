"""Reader of the JSON lists that DeepfakeBench keeps of the frames it cut out.

    {"Celeb-DF-v2": {"CelebDFv2_real": {"test": {"id0_0000": {"label": "CelebDFv2_real", "frames": ["...", ...]}}}}}
    {"FaceForensics++": {"FF-DF": {"train": {"c23": {"000_003": {"label": "FF-DF", "frames": [...]}}}}}}

Its paths are those of the machine that wrote it, often with backslashes. They are looked for below the folder of the
list and the folders above that: the more of a path's end is found there, the better, and the nearer, the better.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from calibration.datasets import celeb_df, faceforensics
from calibration.datasets.folder_content import counted, natural_key
from calibration.datasets.media import FaceImage, MediaSet, Medium
from calibration.datasets.selection import canonical_split
from export.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator

# Its short names of the manipulations of FaceForensics++.
_METHODS = {
    "ff-real": "youtube",
    "ff-df": "Deepfakes",
    "ff-f2f": "Face2Face",
    "ff-fs": "FaceSwap",
    "ff-nt": "NeuralTextures",
    "ff-fh": "FaceShifter",
}
_LAST_WORD = re.compile(r"[a-z0-9]+\Z")
# Where a video is in several splits, being a test video is what must not be overlooked.
_RANK = {"test": 0, "val": 1}
# Fewer folders of a path's end could be those of another data set: `frames/000` is in each of them.
_FEWEST_FOLDERS = 3


@dataclass(frozen=True)
class _Listed:
    """A video as the list has it."""

    dataset: str
    label: str
    split: str
    compression: str
    name: str
    frames: tuple[str, ...]


def media_from_deepfakebench(path: Path) -> MediaSet:
    """Reads a list and finds the frames that it names.

    Raises:
        DataError: The file is no such list, a label is neither real nor fake, or not one frame is there.
    """
    found, notes = _each_once(_listed_videos(path))
    fake = _is_fake_of_labels(path, found)
    finder = _FrameFinder(path.absolute().parent)
    media, missing, absent = [], [], []
    for listed in found:
        images = [(frame, finder.find(frame)) for frame in listed.frames]
        missing += [frame for frame, image in images if image is None]
        there = sorted({image for _, image in images if image is not None}, key=natural_key)
        if there:
            media.append(_medium(listed, fake[listed.label], there))
        else:
            absent.append(listed.name)
    if not media:
        example = missing[0] if missing else "none at all"
        raise DataError(
            f"not one frame that {path} lists is there, such as {example}; expected the end of its path below "
            f"{path.absolute().parent} or a folder above it: put the list beside its data"
        )
    notes += (counted(len(missing), f"frames of {path.name} that are not there", missing[0]),) if missing else ()
    notes += (counted(len(absent), "videos left out for lack of frames", absent[0]),) if absent else ()
    root = Path(os.path.commonpath([image.path.parent for medium in media for image in medium.images]))
    return MediaSet(root, "deepfakebench", tuple(sorted(media, key=lambda medium: medium.video)), notes)


class _FrameFinder:
    """Finds files by the ends of their paths; every folder is looked for and listed once."""

    def __init__(self, home: Path) -> None:
        self._homes = (home, *home.parents)
        self._listed: dict[tuple[str, ...], tuple[Path, frozenset[str]] | None] = {}

    def find(self, frame: str) -> Path | None:
        *folders, name = [part for part in frame.replace("\\", "/").split("/") if part not in ("", ".", "..")]
        key = tuple(folders)
        if key not in self._listed:
            folder = self._folder(key)
            self._listed[key] = None if folder is None else (folder, frozenset(path.name for path in folder.iterdir()))
        found = self._listed[key]
        return found[0] / name if found is not None and name in found[1] else None

    def _folder(self, folders: tuple[str, ...]) -> Path | None:
        for start in range(max(1, len(folders) - _FEWEST_FOLDERS + 1)):
            for home in self._homes:
                candidate = home.joinpath(*folders[start:])
                if candidate.is_dir():
                    return candidate
        return None


def _medium(listed: _Listed, is_fake: bool, images: list[Path]) -> Medium:
    """Returns a video under the name that the reader of its data set's own layout gives it, where there is one."""
    method = _METHODS.get(listed.label.lower())
    if method is not None:
        return faceforensics.medium_of_video(method, listed.compression, listed.name, listed.split, None, images)
    frames = tuple(map(FaceImage, images))
    if listed.dataset.lower().startswith("celeb-df"):
        is_named = bool(celeb_df.IDENTITY.search(listed.name))
        folder = "Celeb-synthesis" if is_fake else "Celeb-real" if is_named else "YouTube-real"
        video = f"{folder}/{listed.name}.mp4"
        return Medium(video, is_fake, celeb_df.identities_of_video(video), listed.split, images=frames)
    video = "/".join(part for part in (listed.label, listed.compression, listed.name) if part)
    attributes = (("compression", listed.compression),) if listed.compression else ()
    return Medium(video, is_fake, (video,), listed.split, attributes, images=frames)


def _each_once(listed: Iterator[_Listed]) -> tuple[list[_Listed], tuple[str, ...]]:
    kept: dict[tuple[str, ...], _Listed] = {}
    repeated: set[str] = set()
    for video in sorted(listed, key=lambda one: _RANK.get(canonical_split(one.split), 2)):
        key = (video.dataset, video.label, video.compression, video.name)
        if kept.setdefault(key, video) is not video:
            repeated.add(video.name)
    text = "videos in several splits, taken as test rather than val and as val rather than train"
    return list(kept.values()), (counted(len(repeated), text, min(repeated)),) if repeated else ()


def _is_fake_of_labels(path: Path, listed: list[_Listed]) -> dict[str, bool]:
    fake = {video.label: _is_fake(video.label) for video in listed}
    unknown = sorted(label for label, value in fake.items() if value is None)
    if unknown:
        raise DataError(
            f"{path}: the labels {', '.join(unknown)} are neither real nor fake; expected a name such as DFD_real, "
            "CelebDFv2_fake or FF-DF: rename them"
        )
    return {label: bool(value) for label, value in fake.items()}


def _is_fake(label: str) -> bool | None:
    lower = label.lower()
    if lower in _METHODS:
        return lower != "ff-real"
    # The last word decides: `DeepFakeDetection_real` has both in it. DFDCP tells `FakeA` from `FakeB`.
    last = _LAST_WORD.search(lower)
    for text in (last.group() if last else "", lower):
        is_fake, is_real = "fake" in text or "synthesis" in text, "real" in text
        if is_fake != is_real:
            return is_fake
    return None


def _listed_videos(path: Path) -> Iterator[_Listed]:
    try:
        stored = json.loads(path.read_bytes().decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not valid JSON ({error}); copy it again") from error
    for dataset, labels in _object(path, stored, "data sets").items():
        for label, splits in _object(path, labels, f"labels of {dataset}").items():
            for split, videos in _object(path, splits, f"splits of {label}").items():
                for name, said in _object(path, videos, f"videos of {label}, {split}").items():
                    if isinstance(said, dict) and "frames" in said:
                        yield _video(path, _Listed(dataset, label, split, "", name, ()), said)
                        continue
                    for inner, video in _object(path, said, f"videos of {label}, {split}, {name}").items():
                        yield _video(path, _Listed(dataset, label, split, name, inner, ()), video)


def _video(path: Path, listed: _Listed, said: Any) -> _Listed:
    frames = _object(path, said, f"label and frames of {listed.name}").get("frames")
    if not isinstance(frames, list) or not all(isinstance(frame, str) and frame for frame in frames):
        raise DataError(f"{path}: the frames of {listed.name} are no list of paths")
    label = said.get("label", listed.label)
    if not isinstance(label, str) or _is_fake(label) != _is_fake(listed.label):
        raise DataError(f"{path}: {listed.name} has the label {label!r} but is listed as {listed.label}")
    return _Listed(listed.dataset, listed.label, listed.split, listed.compression, listed.name, tuple(frames))


def _object(path: Path, value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise DataError(
            f"{path} is no list of DeepfakeBench: its {what} are no object; expected {{DATASET: {{LABEL: ..."
        )
    return value
