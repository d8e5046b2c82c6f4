"""Where the crops of each video go: a folder named like it, as far as file systems and other videos let it."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from calibration.datasets.folder_content import VIDEO_SUFFIXES
from calibration.datasets.prepared import MANIFEST_NAME, RECORD_NAME, WORK_FOLDER
from export.sidecar import sha256_of_json

if TYPE_CHECKING:
    from collections.abc import Iterable

_RESERVED = frozenset({MANIFEST_NAME, RECORD_NAME, WORK_FOLDER})
_UNSAFE = re.compile(r"[^\w .+=@()-]")
# In letters, each of which takes up to four of the 255 bytes that a name may have.
_LONGEST = 60


def crop_folders(videos: Iterable[str]) -> dict[str, str]:
    """Returns video -> folder of its crops, a relative path.

    Folders differ even where case is ignored, none lies in another, and none leaves the folder that they lie in.
    A video that cannot have its own name gets some digits of its digest, too.
    """
    plain = {video: _safe_path(video) for video in videos}
    taken = Counter(folder.casefold() for folder in plain.values())
    inner = {str(parent) for folder in plain.values() for parent in PurePosixPath(folder.casefold()).parents}
    return {
        video: folder if taken[folder.casefold()] == 1 and folder.casefold() not in inner else _marked(folder, video)
        for video, folder in plain.items()
    }


def _safe_path(video: str) -> str:
    path = PurePosixPath(video)
    stem = path.with_suffix("") if path.suffix.lower() in VIDEO_SUFFIXES else path
    parts = [_safe_part(part) for part in str(stem).split("/") if part not in ("", ".")]
    folder = "/".join(parts) or "_"
    changed = folder != str(stem) or any(part.casefold() in _RESERVED for part in parts)
    return _marked(folder, video) if changed else folder


def _safe_part(part: str) -> str:
    safe = _UNSAFE.sub("_", part)[:_LONGEST].rstrip(" .")
    return f"_{safe}" if not safe or safe.startswith(".") else safe


def _marked(folder: str, video: str) -> str:
    return f"{folder}-{sha256_of_json(video)[:8]}"
