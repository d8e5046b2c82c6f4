"""The same file under two names: told where labels agree, refused where they do not."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from typing import TYPE_CHECKING

from calibration.datasets.folder_content import counted
from export.errors import DataError
from export.sidecar import sha256_of_file

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Sequence
    from pathlib import Path

    from calibration.datasets.media import Medium

_END_BYTES = 4096
# What is smaller holds no picture: files that were cut off are empty alike, whatever they were.
_SMALLEST_PICTURE = 64


def duplicate_notes(media: Sequence[Medium]) -> tuple[str, ...]:
    """Returns what a user should know of files of different videos that have the same content.

    Sizes are compared first, then the ends of the files, so that few are read as a whole.

    Raises:
        DataError: A video is there with both labels: its file, or every one of its images. Single images that a real
            and a fake video share, such as black ones, are none.
    """
    of_file = {path: medium for medium in media for path in _files(medium) if _size(path) >= _SMALLEST_PICTURE}
    groups = [list(of_file)]
    for key in (_size, _end, sha256_of_file):
        groups = [same for group in groups for same in _alike(group, key) if _videos(same, of_file) > 1]
    twins: defaultdict[str, set[Path]] = defaultdict(set)
    for group in groups:
        labels = {of_file[path].is_fake for path in group}
        if len(labels) == 2:
            for path in group:
                twins[of_file[path].video].add(path)
    _require_one_label(media, twins, groups, of_file)
    extra = [path for group in groups for path in group[1:]]
    return (counted(len(extra), "files that are copies of files of other videos", extra[0]),) if extra else ()


def _require_one_label(
    media: Sequence[Medium], twins: dict[str, set[Path]], groups: list[list[Path]], of_file: dict[Path, Medium]
) -> None:
    for medium in media:
        if medium.video in twins and len(twins[medium.video]) == len(_files(medium)):
            first = _files(medium)[0]
            group = next(group for group in groups if first in group)
            other = next(path for path in group if of_file[path].is_fake != medium.is_fake)
            real, fake = (other, first) if medium.is_fake else (first, other)
            raise DataError(f"{real} is real and {fake} fake, but they are the same file; remove the wrong one")


def _files(medium: Medium) -> tuple[Path, ...]:
    return (medium.file,) if medium.file is not None else tuple(image.path for image in medium.images)


def _videos(paths: Iterable[Path], of_file: dict[Path, Medium]) -> int:
    return len({of_file[path].video for path in paths})


def _alike(paths: Iterable[Path], key: Callable[[Path], Hashable]) -> Iterable[list[Path]]:
    groups: defaultdict[Hashable, list[Path]] = defaultdict(list)
    for path in paths:
        groups[key(path)].append(path)
    return groups.values()


def _size(path: Path) -> int:
    return path.stat().st_size


def _end(path: Path) -> bytes:
    with path.open("rb") as stream:
        stream.seek(max(0, _size(path) - _END_BYTES))
        return hashlib.sha256(stream.read()).digest()
