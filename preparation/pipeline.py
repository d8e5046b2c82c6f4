"""`prepare-data` as one call: from a data set of videos to the crops of their faces."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from calibration.datasets.dataset import media_from_path
from calibration.datasets.folder_content import counted
from calibration.datasets.prepared import PreparedRecord, write_prepared
from calibration.datasets.selection import ALL_SPLITS, canonical_split
from calibration.samples import FacelessVideo
from export.errors import DataError
from preparation.contact_sheet import write_contact_sheet
from preparation.face_finders import finder_from_options
from preparation.job import Job
from preparation.manifest import write_manifest
from preparation.output_folder import OutputFolder

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from calibration.datasets.media import MediaSet, Medium
    from preparation.face import FaceFinder
    from preparation.job import Outcome
    from preparation.request import PreparationRequest
    from preparation.video_record import VideoRecord


@dataclass(frozen=True)
class Preparation:
    """What became of the videos.

    Attributes:
        media: What was asked for.
        outcomes: Video -> what became of it.
        removed: Number of videos of an earlier command that were not asked for now.
    """

    media: MediaSet
    outcomes: Mapping[str, Outcome]
    removed: int = 0

    @property
    def records(self) -> dict[str, VideoRecord]:
        """Video -> its crops, of those that did not fail."""
        return {video: outcome.record for video, outcome in self.outcomes.items() if outcome.record is not None}

    @property
    def failed(self) -> dict[str, str]:
        """Video -> why nothing could be taken from it."""
        return {video: outcome.failure for video, outcome in self.outcomes.items() if outcome.failure}

    @property
    def faceless(self) -> tuple[Medium, ...]:
        """Videos in whose frames no face was found."""
        empty = {video for video, record in self.records.items() if not record.crops}
        return tuple(medium for medium in self.media.media if medium.video in empty)

    @property
    def notes(self) -> tuple[str, ...]:
        """What whoever uses the faces should know of the videos."""
        damaged = [f"{video} ({record.damage})" for video, record in self.records.items() if record.damage]
        text = "videos that are damaged, taken as far as they decode"
        return self.media.notes + ((counted(len(damaged), text, damaged[0]),) if damaged else ())


def prepare_data(
    request: PreparationRequest, dry_run: bool = False, announce: Callable[[str], None] = lambda _: None
) -> Preparation:
    """Cuts the faces out of a data set's videos; what an earlier command made of the same is left as it is.

    Args:
        request: What was asked for.
        dry_run: Whether to tell only what is there already.
        announce: Gets a line for each video that fails, and for each without a face if that is an error.

    Raises:
        SignoffError: The source, the detector or the output folder is not what it should be; or videos failed or lack
            faces and the request does not let that pass. All others are prepared by then.
    """
    out = OutputFolder(request.out)
    out.require_usable(request.source)
    media = _selected(media_from_path(request.source), request)
    finder = finder_from_options(request.detector, request.boxes)
    _require_finder(media, finder, request)
    if dry_run:
        return Preparation(media, Job(request, media, finder, out).known())
    with out.opened():
        job = Job(request, media, finder, out)
        stale = job.stale()
        out.mark_incomplete()
        for record in stale:
            out.remove(record)
        prepared = Preparation(media, job.done(), len(stale))
        _require_success(prepared, request, announce)
        write_manifest(out.manifest, media.media, prepared.records)
        write_contact_sheet(out.sheet, request.out, media.media, prepared.records)
        os.sync()  # or a crash of the system could leave empty crops beside a record that calls them complete
        write_prepared(request.out, _record(prepared, request, finder))
    return prepared


def _selected(media: MediaSet, request: PreparationRequest) -> MediaSet:
    if request.split is None or canonical_split(request.split) == ALL_SPLITS:
        return media
    wanted = canonical_split(request.split)
    chosen = tuple(medium for medium in media.media if canonical_split(medium.split) == wanted)
    if not chosen:
        splits = ", ".join(sorted({canonical_split(medium.split) for medium in media.media} - {""})) or "none"
        raise DataError(f"{request.source} has no videos of split {request.split!r}; its splits: {splits}")
    return replace(media, media=chosen)


def _require_finder(media: MediaSet, finder: FaceFinder | None, request: PreparationRequest) -> None:
    if request.whole_frames and finder is not None:
        raise DataError("--whole-frames means that frames are faces already; leave it out, or --detector and --boxes")
    files = sum(medium.file is not None for medium in media.media)
    if files and finder is None and not request.whole_frames:
        raise DataError(
            f"{request.source} holds {files} video files; pass --detector YUNET.onnx or --boxes BOXES.csv to find the "
            "faces in them, or --whole-frames if their frames are faces already"
        )


def _require_success(prepared: Preparation, request: PreparationRequest, announce: Callable[[str], None]) -> None:
    for video, reason in prepared.failed.items():
        announce(f"failed: {video}: {reason}")
    if not prepared.records:
        raise DataError(f"every one of {len(prepared.failed)} videos failed; correct what the lines above say")
    if prepared.failed and not request.skip_unreadable:
        raise DataError(
            f"{len(prepared.failed)} of {len(prepared.outcomes)} videos failed, such as {min(prepared.failed)}; "
            "replace them, or pass --skip-unreadable to go on without them; the others are kept"
        )
    faceless = [medium.video for medium in prepared.faceless]
    if len(faceless) == len(prepared.records):
        raise DataError(
            f"no face was found in any of {len(prepared.outcomes)} videos; check the detector and faces.min_score"
        )
    if faceless and request.faces.no_face == "error":
        for video in faceless:
            announce(f"no face: {video}")
        raise DataError(
            f"no face was found in {len(faceless)} of {len(prepared.outcomes)} videos, such as {faceless[0]}, and "
            "faces.no_face = 'error'; remove them from the set, or choose 'exclude' or 'half'"
        )


def _record(prepared: Preparation, request: PreparationRequest, finder: FaceFinder | None) -> PreparedRecord:
    faceless = prepared.faceless
    return PreparedRecord(
        faces=request.faces,
        frames=request.frames,
        detector=finder.name if finder is not None else "none",
        detector_sha256=finder.sha256 if finder is not None else "",
        videos=len(prepared.records) - len(faceless),
        faceless=tuple(FacelessVideo(m.video, m.is_fake, m.identities, m.attributes, m.split) for m in faceless),
        failed=tuple(sorted(prepared.failed.items())),
        notes=prepared.notes,
    )
