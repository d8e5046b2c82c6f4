"""`manifest.csv`: what each crop shows, as a data set that every command reads."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

from calibration.datasets.manifest import COLUMNS, PERSON_SEPARATOR
from export.sidecar import write_atomically

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from calibration.datasets.media import Medium
    from preparation.video_record import VideoRecord


def write_manifest(path: Path, media: Sequence[Medium], records: Mapping[str, VideoRecord]) -> None:
    """Writes a line for each crop, in the order of videos and of time.

    Args:
        path: Where to.
        media: The videos.
        records: Video -> its crops; may lack those that failed.
    """
    attributes = sorted({name for medium in media for name, _ in medium.attributes})
    with write_atomically(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow([*COLUMNS, *attributes])
        for medium in media:
            values = dict(medium.attributes)
            described = ["fake" if medium.is_fake else "real", medium.video]
            # Left empty, it reads as the video's name, which may hold what separates persons.
            people = medium.identities if medium.identities != (medium.video,) else ()
            described += [PERSON_SEPARATOR.join(people), medium.split]
            sliced = [values.get(name, "") for name in attributes]
            if medium.video in records:
                record = records[medium.video]
                for crop in record.crops:
                    writer.writerow([f"{record.folder}/{crop.file}", *described, crop.frame, *sliced])
