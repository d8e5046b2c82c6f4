"""Decodes the frames of a video file by PyAV, in one thread and without hardware."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from export.errors import BackendError, VideoError
from preparation.display_matrix import upright

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from preparation.color_conversion import RgbConverter

# Containers that data sets come in. Playlists and the like, which name other files and addresses, are not among them.
_FORMATS = "mov,matroska,webm,avi,mpeg,mpegts,mpegvideo,m4v,h264,hevc,ivf,obu,flv,asf,ogg,mxf,dv,nut,rm,gif,mjpeg"
_MOST_PIXELS = 1 << 27


class VideoReader:
    """The first video stream of a file.

    Attributes:
        area: Number of pixels of a frame, by what the file says.

    Raises:
        VideoError: The file is missing, empty, not a video, or absurdly large.
        BackendError: PyAV is not installed.
    """

    remedy = "replace the file or pass --skip-unreadable to go on without it"

    def __init__(self, path: Path) -> None:
        self._av = _pyav()
        self._path = path
        self._undecodable = self._concealed = self._discarded = 0
        self._broken_off = ""
        if not path.is_file():
            raise VideoError(f"no video at {path}; was it moved after the list was made?")
        if path.stat().st_size == 0:
            raise VideoError(f"{path} is empty; {self.remedy}")
        with self._opened() as (container, stream):
            self.area = int(stream.codec_context.width * stream.codec_context.height)
            self._stated = int(stream.frames)
            # That of an AVI counts gaps, too; where several formats share a reader, its name lists them.
            self._is_exact = container.format.name.startswith("mov,")
        if self.area > _MOST_PIXELS:
            raise VideoError(f"{path} has frames of {self.area} pixels; expected at most {_MOST_PIXELS}")

    def stated_length(self) -> int:
        """Returns how many frames there should be: what the file says, or else its number of packets."""
        if self._stated:
            return self._stated
        with self._opened() as (container, stream):
            return sum(packet.size > 0 and not packet.is_discard for packet in self._packets(container, stream))

    def frames(self, go_on: Callable[[], None] = lambda: None) -> Iterator[Any]:
        """Yields every frame that decodes; `damage` then tells of the others.

        Args:
            go_on: Called before each packet; may raise.
        """
        self._undecodable = self._concealed = self._discarded = 0
        self._broken_off = ""
        with self._opened() as (container, stream):
            for packet in self._packets(container, stream):
                go_on()
                self._discarded += bool(packet.is_discard)
                for frame in self._decoded(packet):
                    self._concealed += bool(frame.is_corrupt)
                    yield frame

    def damage(self, length: int) -> str:
        """Returns what was wrong when frames were decoded, `length` of which did; empty if nothing."""
        parts = []
        expected = self._stated - self._discarded if self._is_exact else 0
        if length < expected:
            parts.append(f"{length} of {expected} frames decode")
        if self._undecodable:
            parts.append(f"{self._undecodable} packets do not decode")
        if self._concealed:
            parts.append(f"{self._concealed} frames are damaged")
        return ", ".join([*parts, self._broken_off] if self._broken_off else parts)

    def pixels_of(self, frame: Any, to_rgb: RgbConverter) -> NDArray[np.uint8]:
        """Returns the upright RGB pixels of a frame, shape (height, width, 3).

        Raises:
            VideoError: Its pixel format cannot be converted.
        """
        try:
            return upright(to_rgb(frame), frame)
        except (self._av.FFmpegError, ValueError) as error:
            raise VideoError(
                f"{self._path} has pixels of the format {frame.format.name}, which cannot be converted to RGB "
                f"({_reason(error)}); {self.remedy}"
            ) from error

    @contextmanager
    def _opened(self) -> Iterator[tuple[Any, Any]]:
        with self._container() as container:
            cover = self._av.stream.Disposition.attached_pic  # the picture that players show with a song
            videos = [stream for stream in container.streams.video if not stream.disposition & cover]
            if not videos:
                raise VideoError(f"{self._path} holds no video, only {_kinds(container)}; {self.remedy}")
            stream = videos[0]
            if stream.codec_context is None:
                raise VideoError(f"{self._path} holds a video that PyAV has no decoder for; {self.remedy}")
            stream.codec_context.thread_count = 1
            stream.codec_context.thread_type = "NONE"
            stream.codec_context.flags |= int(self._av.codec.context.Flags.bitexact)
            yield container, stream

    def _container(self) -> Any:
        try:
            return self._av.open(
                f"file:{self._path}",
                options={"protocol_whitelist": "file", "format_whitelist": _FORMATS},
                metadata_errors="replace",
            )
        except (self._av.FFmpegError, ValueError) as error:
            raise VideoError(f"{self._path} is no video ({_reason(error)}); {self.remedy}") from error

    def _packets(self, container: Any, stream: Any) -> Iterator[Any]:
        try:
            yield from container.demux(stream)
        except self._av.FFmpegError as error:
            self._broken_off = f"reading ends early ({_reason(error)})"

    def _decoded(self, packet: Any) -> list[Any]:
        try:
            return list(packet.decode())
        except self._av.FFmpegError:
            self._undecodable += 1
            return []


def _pyav() -> Any:
    try:
        import av
    except ImportError:
        raise BackendError("decoding videos needs PyAV; run: pip install '.[video]'") from None
    return av


def _kinds(container: Any) -> str:
    return ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
