"""What `prepare-data` prints when it is done."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from export.model_file import toml_lines

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from export.contract import ModelContract
    from preparation.pipeline import Preparation
    from preparation.request import PreparationRequest

_MOST_NAMED = 3
_COLUMNS = ("", "videos", "frames", "faces", "no face", "failed")


def summary(prepared: Preparation, request: PreparationRequest) -> str:
    """Returns what became of the videos, by class, and what to do next."""
    reused = sum(outcome.reused for outcome in prepared.outcomes.values())
    lines = [*_table(prepared), *_notes(prepared, request)]
    lines.append(f"prepared: {len(prepared.records) - reused} videos made, {reused} reused")
    lines.append(f"look at: {request.out / 'contact_sheet.jpg'}")
    lines.append(
        f"next: build-engines --checkpoint FILE --calibration {request.out} --out RUN, or "
        f"evaluate-engines RUN --test {request.out}"
    )
    return "\n".join(lines)


def dry_summary(prepared: Preparation, request: PreparationRequest) -> str:
    """Returns what would be made."""
    reused = len(prepared.records)
    media = prepared.media
    lines = [f"note: {note}" for note in media.notes]
    lines.append(
        f"layout: {media.layout}, {len(media.media)} videos, {sum(m.is_fake for m in media.media)} of them fake"
    )
    lines.append(f"{request.out}: {len(media.media) - reused} videos would be made, {reused} reused")
    return "\n".join(lines)


def to_declare(request: PreparationRequest, contract: ModelContract | None) -> str:
    """Returns what the model file lacks or has otherwise, as it is to be written there; empty if nothing."""
    declared = contract.faces if contract is not None else None
    if not request.finds_faces and declared is None:
        return ""  # whoever takes frames as faces and declares none has nothing that could be compared
    tables: dict[str, Mapping[str, object]] = {}
    if request.finds_faces and request.faces != declared:
        tables["faces"] = asdict(request.faces)
    if contract is None or contract.video.frames != request.frames:
        tables["video"] = {"frames": request.frames}
    return "\n".join(line for name, table in tables.items() for line in (f"[{name}]", *toml_lines(table)))


def _table(prepared: Preparation) -> Iterator[str]:
    rows: list[tuple[str, ...]] = [_COLUMNS]
    for name, is_fake in (("real", False), ("fake", True)):
        videos = [medium.video for medium in prepared.media.media if medium.is_fake == is_fake]
        records = [prepared.records[video] for video in videos if video in prepared.records]
        counts = (
            len(videos),
            sum(record.frames for record in records),
            sum(len(record.crops) for record in records),
            sum(not record.crops for record in records),
            len(videos) - len(records),
        )
        rows.append((name, *map(str, counts)))
    for row in rows:
        yield f"{row[0]:<6}" + "".join(f"{cell:>9}" for cell in row[1:])


def _notes(prepared: Preparation, request: PreparationRequest) -> Iterator[str]:
    for note in prepared.notes:
        yield f"note: {note}"
    if not request.finds_faces and not request.whole_frames:
        yield "note: images were taken as faces; pass --detector or --boxes if faces are still to be cut out of them"
    if prepared.removed:
        yield f"note: removed the faces of {prepared.removed} videos that are no longer asked for"
    records = prepared.records.values()
    without = sum(record.frames - record.frames_with_face for record in records if record.crops)
    if without:
        yield f"note: {without} frames of videos with faces show none"
    if prepared.faceless:
        what = "scored 0.5" if request.faces.no_face == "half" else "left out of scores and counted"
        names = [medium.video for medium in prepared.faceless]
        yield f"note: {len(names)} videos have no face and will be {what}: {_some(names)}"


def _some(names: list[str]) -> str:
    return ", ".join(names[:_MOST_NAMED]) + (", ..." if len(names) > _MOST_NAMED else "")
