"""The frames of a medium, whether it is a video file or the images that were taken of one."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Protocol

import numpy as np

from export.errors import ImageError, VideoError
from export.preprocessing import image_from_file
from export.sidecar import sha256_of_file, sha256_of_json
from preparation.decoding import Frame, frames_of_video, spaced_indices

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from calibration.datasets.media import FaceImage, Medium


class FrameSource(Protocol):
    """Frames that are chosen, not yet read."""

    @property
    def frames(self) -> Iterator[Frame]:
        """The chosen frames in the order of time; several of one index show several faces of one frame."""
        ...

    @property
    def length(self) -> int:
        """Number of frames to choose from."""
        ...

    @property
    def damage(self) -> str:
        """What did not decode, once the frames are read; empty if all did."""
        ...


def frames_of_medium(medium: Medium, count: int, go_on: Callable[[], None]) -> FrameSource:
    """Returns `count` frames, evenly spaced from the first to the last.

    Args:
        medium: A video.
        count: Number of frames.
        go_on: Called now and then; may raise to give up.

    Raises:
        VideoError: The file is missing, empty, damaged or holds no video.
        BackendError: PyAV is not installed.
    """
    if medium.file is not None:
        return frames_of_video(medium.file, count, go_on)
    return ImageFrames(medium.images, count, go_on)


def source_digest(medium: Medium, count: int) -> str:
    """Returns a digest of all that `count` frames of a medium are taken from.

    Raises:
        VideoError: The file is missing.
        ImageError: An image is.
    """
    if medium.file is None:
        return ImageFrames(medium.images, count).sha256
    try:
        return sha256_of_file(medium.file)
    except FileNotFoundError:
        raise VideoError(f"no video at {medium.file}; was it moved after the list was made?") from None


class ImageFrames:
    """Images as frames; those that share a frame count as one.

    Args:
        images: All images of a video in the order of time.
        count: Number of frames to take.
        go_on: Called before each image is read; may raise to give up.
    """

    def __init__(self, images: tuple[FaceImage, ...], count: int, go_on: Callable[[], None] = lambda: None) -> None:
        self._go_on = go_on
        groups = [tuple(group) for _, group in groupby(images, lambda image: image.frame or image.path)]
        self.length = len(groups)
        self._chosen = [(index, image.path) for index in spaced_indices(self.length, count) for image in groups[index]]
        self._unreadable: list[str] = []

    @property
    def sha256(self) -> str:
        """Digest of the chosen images and their places."""
        try:
            return sha256_of_json([[index, sha256_of_file(path)] for index, path in self._chosen])
        except FileNotFoundError as error:
            raise ImageError(f"no image at {error.filename}; was it moved after the list was made?") from None

    @property
    def frames(self) -> Iterator[Frame]:
        """Decodes the chosen images.

        Raises:
            VideoError: None of them decodes.
        """
        self._unreadable = []
        for index, path in self._chosen:
            self._go_on()
            try:
                yield Frame(index, np.asarray(image_from_file(path)))
            except ImageError as error:
                self._unreadable.append(str(error))
        if len(self._unreadable) == len(self._chosen):
            raise VideoError(f"none of {len(self._chosen)} images decodes; {'; '.join(self._unreadable[:1])}")

    @property
    def damage(self) -> str:
        """How many images did not decode."""
        return f"{len(self._unreadable)} of {len(self._chosen)} images do not decode" if self._unreadable else ""
