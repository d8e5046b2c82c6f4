"""Reader of FaceForensics++ and of DeepFakeDetection, which comes with it, as their download script lays them out.

    DATA/original_sequences/{youtube,actors}/c23/videos/000.mp4      DATA/splits/{train,val,test}.json (optional)
    DATA/manipulated_sequences/Deepfakes/c23/{videos,frames,images}/000_003[.mp4 | /0001.png]

A fake video is named by the videos whose face was replaced and whose face was pasted: `000_003` for target 000 and
source 003; `01_02__walking__ID` of DeepFakeDetection for the actors 01 and 02. The split files list such pairs.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from calibration.datasets.folder_content import Leftovers, counted, folders_by_name, listing, videos_in
from calibration.datasets.media import FaceImage, MediaSet, Medium
from export.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

FOLDERS = {"original_sequences": False, "manipulated_sequences": True}
COMPRESSIONS = frozenset({"raw", "c0", "c23", "c40"})
ORIGINALS = ("youtube", "actors")
METHODS = ("Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures", "FaceShifter", "DeepFakeDetection")
_SPELLING = {name.lower(): name for name in (*ORIGINALS, *METHODS)}
_ACTORS = re.compile(r"(\d+)_(\d+)__.+")
_ACTOR = re.compile(r"(\d+)__.+")
_PAIR = re.compile(r"(\d+)_(\d+)")


def is_faceforensics(root: Path) -> bool:
    """Tells whether a folder has `original_sequences` or `manipulated_sequences`, in any case."""
    return bool(folders_by_name(root, FOLDERS))


def media_from_faceforensics(root: Path) -> MediaSet:
    """Finds every video under `root`, in all compressions that are there.

    Raises:
        DataError: A video is there twice, or a split file is not a list of pairs or contradicts another one.
    """
    leftovers, splits = Leftovers(), _splits(root)
    media = sorted(_media(root, splits, leftovers), key=lambda medium: medium.video)
    notes = leftovers.notes()
    without = [medium.video for medium in media if splits and not medium.split]
    if without:
        notes += (counted(len(without), "videos in none of the splits", without[0]),)
    return MediaSet(root, "faceforensics", tuple(media), notes)


def identities_of_video(video: str) -> tuple[str, ...]:
    """Returns the numbers of the videos or actors in `Deepfakes/c23/000_003`, the target first."""
    name = video.rpartition("/")[2]
    for pattern in (_ACTORS, _ACTOR, _PAIR):
        match = pattern.fullmatch(name)
        if match:
            return match.groups()
    return (name,)


def medium_of_video(
    method: str, compression: str, name: str, split: str = "", file: Path | None = None, images: Iterable[Path] = ()
) -> Medium:
    """Returns a video under the name it has in every layout of the data set.

    Args:
        method: `youtube` or `actors` for originals; the way of manipulation for fakes.
        compression: Such as `c23`; empty if nothing tells.
        name: Its name without suffix.
        split: Its split.
        file: Its file.
        images: Its images.
    """
    method = _SPELLING.get(method.lower(), method)
    is_fake = method not in ORIGINALS
    # An original is of no manipulation, so it has no value in that column.
    attributes = [("compression", compression)] if compression else []
    attributes += [("manipulation", method)] if is_fake else []
    video = "/".join(part for part in (method, compression, name) if part)
    identities = identities_of_video(video)
    return Medium(video, is_fake, identities, split, tuple(attributes), file, tuple(map(FaceImage, images)))


def _media(root: Path, splits: dict[str, str], leftovers: Leftovers) -> Iterator[Medium]:
    for name, sequences in folders_by_name(root, FOLDERS).items():
        for method in listing(sequences).folders:
            if (method.name.lower() in ORIGINALS) == FOLDERS[name]:
                raise DataError(
                    f"{method}: expected youtube and actors below original_sequences and nowhere else, because that "
                    "decides the label; move the folder"
                )
            for compression, folder in _compressions(method):
                for video in videos_in(folder, leftovers):
                    number = video.name.partition("_")[0]
                    split = splits.get(number, "")
                    yield medium_of_video(method.name, compression, video.name, split, video.file, video.images)


def _compressions(method: Path) -> list[tuple[str, Path]]:
    return list(folders_by_name(method, COMPRESSIONS).items()) or [("", method)]


def _splits(root: Path) -> dict[str, str]:
    """Returns number of a video -> split."""
    split_of: dict[str, str] = {}
    for split in ("train", "val", "test"):
        paths = [path for path in (root / "splits" / f"{split}.json", root / f"{split}.json") if path.is_file()]
        for number in _numbers(paths[0]) if paths else ():
            if split_of.setdefault(number, split) != split:
                raise DataError(f"{paths[0]}: the video {number} is in {split_of[number]}.json, too; remove one")
    return split_of


def _numbers(path: Path) -> list[str]:
    try:
        pairs = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not valid JSON ({error}); copy it again") from error
    if not isinstance(pairs, list) or not all(
        isinstance(pair, list) and pair and all(isinstance(number, str) for number in pair) for pair in pairs
    ):
        raise DataError(f'{path} is no list of pairs; expected [["071", "054"], ...]: copy it again')
    return [number for pair in pairs for number in pair]
