"""Data sets on disk for readers, which look at names and contents but decode nothing."""

from __future__ import annotations

import csv
import io
import json
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from calibration.samples import path_from_root

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    import numpy as np

    from calibration.datasets.media import MediaSet, Medium


def write_files(root: Path, *names: str) -> Path:
    """Writes files whose contents differ as their names do."""
    for name in names:
        write_file(root / name, content_of(name))
    return root


def content_of(name: str) -> bytes:
    """Returns a content as long as one of a picture."""
    return f"{name:100}".encode()


def write_file(path: Path, content: bytes | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def write_json_file(path: Path, value: object) -> Path:
    return write_file(path, json.dumps(value))


def files_of(medium: Medium, root: Path) -> tuple[str, ...]:
    """Returns what a video consists of, relative to a folder."""
    paths = [image.path for image in medium.images] if medium.file is None else [medium.file]
    return tuple(path.relative_to(root).as_posix() for path in paths)


def by_name(found: MediaSet) -> Mapping[str, Medium]:
    assert [medium.video for medium in found.media] == sorted({medium.video for medium in found.media})
    return {medium.video: medium for medium in found.media}


def manifest_text(media: Iterable[Medium], root: Path, delimiter: str = ",", line_end: str = "\n") -> str:
    """Writes the table that a reader must understand, a row for each file."""
    listed = list(media)
    extra = sorted({name for medium in listed for name, _ in medium.attributes})
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator=line_end)
    writer.writerow(("path", "label", "video", "identity", "split", "frame", *extra))
    for values in (row for medium in listed for row in _rows(medium, root)):
        named = dict(values)
        fixed = [named.pop(column) for column in ("path", "label", "video", "identity", "split", "frame")]
        writer.writerow((*fixed, *(named.get(name, "") for name in extra)))
    return text.getvalue()


def json_lines(media: Iterable[Medium], root: Path) -> str:
    return "".join(
        json.dumps({**row, "identity": row["identity"].split(";")}) + "\n" for m in media for row in _rows(m, root)
    )


def _rows(medium: Medium, root: Path) -> list[dict[str, str]]:
    shared = {
        "label": str(int(medium.is_fake)),
        "video": medium.video,
        "identity": ";".join(medium.identities),
        "split": medium.split,
        **dict(medium.attributes),
    }
    if medium.file is not None:
        return [{"path": path_from_root(medium.file, root), "frame": "", **shared}]
    return [{"path": path_from_root(image.path, root), "frame": image.frame, **shared} for image in medium.images]


def random_name(rng: np.random.Generator, forbidden: str = "") -> str:
    """Draws a name such as people and programs give, with what a format must not stumble over."""
    letters = [c for c in "abcXYZ019_-.,;'\" éß中" if c not in forbidden]
    middle = "".join(rng.choice(letters) for _ in range(int(rng.integers(0, 8))))
    return f"{rng.choice(list('abcXYZ'))}{middle}{rng.integers(1000)}"


def parent_of(path: str) -> str:
    return PurePosixPath(path).parent.as_posix()
