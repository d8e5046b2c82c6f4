"""All videos of one command, several at a time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from threading import Event
from typing import TYPE_CHECKING

from export.errors import BackendError, DataError, SignoffError
from export.progress import progress_bar
from preparation.crop_folders import crop_folders
from preparation.making import VideoMaker

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from calibration.datasets.media import MediaSet, Medium
    from preparation.face import FaceFinder
    from preparation.output_folder import OutputFolder
    from preparation.request import PreparationRequest
    from preparation.video_record import VideoRecord


@dataclass(frozen=True)
class Outcome:
    """What became of one video.

    Attributes:
        record: Its crops; None if there are none yet.
        reused: Whether an earlier command made them.
        failure: Why nothing could be taken from it.
    """

    record: VideoRecord | None = None
    reused: bool = False
    failure: str = ""


class Job:
    """The videos of one command.

    Args:
        request: What was asked for.
        media: The videos.
        finder: Finds the faces; None where frames are faces already.
        out: Where crops go.
    """

    def __init__(
        self, request: PreparationRequest, media: MediaSet, finder: FaceFinder | None, out: OutputFolder
    ) -> None:
        self._workers, self._media, self._out = request.workers, media.media, out
        self._stopped = Event()
        self._maker = VideoMaker(request, finder, out, self._stopped)
        self._folders = crop_folders(medium.video for medium in media.media)
        self._stored = out.records()

    def known(self) -> dict[str, Outcome]:
        """Returns what there is already, and makes nothing."""
        return self._in_parallel(self._known, "look")

    def done(self) -> dict[str, Outcome]:
        """Makes what is not there yet; a video that fails is left out, and the others go on."""
        return self._in_parallel(self._done, "faces")

    def stale(self) -> list[VideoRecord]:
        """Returns what an earlier command made of videos that are no longer asked for.

        Raises:
            DataError: None is asked for any more, so that this must be the folder of another data set.
        """
        wanted = {medium.video for medium in self._media}
        stale = self._stored.keys() - wanted
        if stale and not wanted & self._stored.keys():
            raise DataError(
                f"{self._out.root} holds the faces of other videos, such as {min(stale)}; choose another folder, or "
                "delete this one"
            )
        return [self._stored[video] for video in sorted(stale)]

    def _known(self, medium: Medium) -> Outcome:
        stored = self._stored.get(medium.video)
        if stored is not None and self._maker.is_current(medium, stored, self._folders[medium.video]):
            return Outcome(stored, reused=True)
        return Outcome()

    def _done(self, medium: Medium) -> Outcome:
        known = self._known(medium)
        if known.record is not None:
            return known
        try:
            return Outcome(self._maker.made(medium, self._folders[medium.video]))
        except BackendError:  # no other video could be prepared either
            raise
        except SignoffError as error:
            return Outcome(failure=str(error))

    def _in_parallel(self, work: Callable[[Medium], Outcome], label: str) -> dict[str, Outcome]:
        with ThreadPoolExecutor(self._workers) as pool:
            futures = {pool.submit(work, medium): medium.video for medium in self._media}
            try:
                finished = progress_bar(as_completed(futures), label, len(futures), "video")
                outcomes: Mapping[str, Outcome] = {futures[future]: future.result() for future in finished}
            except BaseException:  # Ctrl-C, too
                self._stopped.set()
                pool.shutdown(cancel_futures=True)
                raise
        return {medium.video: outcomes[medium.video] for medium in self._media}
