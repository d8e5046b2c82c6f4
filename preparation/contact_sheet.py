"""`contact_sheet.jpg`: a look at what was cut out, because a wrong crop ruins every score and shows in no number."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont, ImageOps

from export.preprocessing import image_from_file
from export.sidecar import write_atomically
from preparation.decoding import spaced_indices

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from calibration.datasets.media import Medium
    from preparation.video_record import VideoRecord

WIDTH = 1600
_MOST_VIDEOS = 12
_CROPS = 8
_SIDE = 94
_GAP = 5
_LINE = 22
_FONT_SIZE = 16
_LETTERS = {"column": 92, "page": 190}
_MOST_LINES = 6
_PAPER, _INK, _FAINT = (250, 250, 250), (20, 20, 20), (205, 205, 205)


def write_contact_sheet(path: Path, root: Path, media: Sequence[Medium], records: Mapping[str, VideoRecord]) -> None:
    """Draws some crops of videos spread evenly over both classes, real ones on the left, and names those without.

    Args:
        path: Where to.
        root: Folder under which the crops lie.
        media: The videos.
        records: Video -> its crops; those that failed are not in it.
    """
    classes = [_Column(root, is_fake, media, records) for is_fake in (False, True)]
    notes = _notes(media, records)
    height = max(column.height for column in classes) + (len(notes) + 1) * _LINE
    sheet = Image.new("RGB", (WIDTH, height), _PAPER)
    for index, column in enumerate(classes):
        column.draw(sheet, index * WIDTH // 2 + 2 * _GAP)
    for number, line in enumerate(reversed(notes)):
        _text(sheet, (2 * _GAP, height - (number + 1) * _LINE - _GAP), line)
    with write_atomically(path) as temporary:
        sheet.save(temporary, "JPEG", quality=88)


class _Column:
    """One class.

    Args:
        root: Folder under which the crops lie.
        is_fake: Which one.
        media: All videos.
        records: Video -> its crops.
    """

    def __init__(self, root: Path, is_fake: bool, media: Sequence[Medium], records: Mapping[str, VideoRecord]) -> None:
        self._root = root
        found = [records[m.video] for m in media if m.is_fake == is_fake and m.video in records]
        shown = [record for record in found if record.crops]
        self._title = (
            f"{'fake' if is_fake else 'real'}: {len(shown)} videos with faces, "
            f"{sum(len(record.crops) for record in shown)} faces"
        )
        self._records = [shown[index] for index in spaced_indices(len(shown), _MOST_VIDEOS)]
        self.height = 2 * _LINE + len(self._records) * (_LINE + _SIDE + _GAP)

    def draw(self, sheet: Image.Image, left: int) -> None:
        """Draws the column."""
        _text(sheet, (left, _GAP), self._title)
        for row, record in enumerate(self._records):
            top = 2 * _LINE - _GAP + row * (_LINE + _SIDE + _GAP)
            count = f": face in {record.frames_with_face} of {record.frames} frames"
            name = record.video
            if len(name) + len(count) > _LETTERS["column"]:
                name = "..." + name[len(count) + 3 - _LETTERS["column"] :]
            _text(sheet, (left, top), name + count)
            for place, index in enumerate(spaced_indices(len(record.crops), _CROPS)):
                crop = image_from_file(self._root / record.folder / record.crops[index].file)
                face = ImageOps.pad(crop, (_SIDE, _SIDE), Image.Resampling.LANCZOS, _FAINT)
                sheet.paste(face, (left + place * (_SIDE + _GAP), top + _LINE))


def _notes(media: Sequence[Medium], records: Mapping[str, VideoRecord]) -> list[str]:
    faceless = [m.video for m in media if m.video in records and not records[m.video].crops]
    failed = [m.video for m in media if m.video not in records]
    lines = []
    for title, videos in (("videos without a face", faceless), ("videos that failed", failed)):
        if videos:
            lines += textwrap.wrap(
                f"{title} ({len(videos)}): {', '.join(videos)}",
                _LETTERS["page"],
                max_lines=_MOST_LINES,
                placeholder=" ...",
            )
    return lines


def _text(sheet: Image.Image, place: tuple[int, int], text: str) -> None:
    ImageDraw.Draw(sheet).text(place, text, _INK, ImageFont.load_default(_FONT_SIZE))
