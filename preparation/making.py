"""From one video to the crops of its faces."""

from __future__ import annotations

import hashlib
import io
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from PIL import Image

from export import __version__
from export.errors import SignoffError
from export.sidecar import sha256_of_json
from export.versions import versions_of
from preparation.crop import chosen_faces, crop_of_face
from preparation.frames import frames_of_medium, source_digest
from preparation.tracking import faces_of_video
from preparation.video_record import Crop, VideoRecord

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from threading import Event

    from calibration.datasets.media import Medium
    from preparation.decoding import Frame
    from preparation.face import Face, FaceFinder
    from preparation.output_folder import OutputFolder
    from preparation.request import PreparationRequest

# Whatever may show in a crop.
_PACKAGES = ("av", "numpy", "onnxruntime", "onnxruntime-gpu", "pillow")
# Level of zlib; 6 takes three times as long, more than finding the face, to save 8 percent.
_COMPRESSION = 3


class VideoMaker:
    """Makes the crops of videos, or finds that an earlier command has made the same; may be called by several threads.

    Args:
        request: What was asked for.
        finder: Finds the faces; None where frames are faces already.
        out: Where crops go.
        stopped: Once it is set, whatever is being made is given up.
    """

    def __init__(
        self, request: PreparationRequest, finder: FaceFinder | None, out: OutputFolder, stopped: Event
    ) -> None:
        self._request = request
        self._finder = finder
        self._out = out
        self._stopped = stopped
        faces = {name: value for name, value in asdict(request.faces).items() if name != "no_face"}
        self._settings = {
            "faces": faces if finder is not None else None,
            "frames": request.frames,
            "finder": [finder.name, finder.sha256] if finder is not None else None,
            "packages": versions_of(*_PACKAGES),
            "toolkit": __version__,
        }

    def key(self, medium: Medium) -> str:
        """Returns a digest of all that determines the crops of a video.

        Raises:
            SignoffError: A file of it is missing.
        """
        video = [medium.video, source_digest(medium, self._request.frames)]
        return sha256_of_json({"video": video, "settings": self._settings})

    def is_current(self, medium: Medium, stored: VideoRecord, folder: str) -> bool:
        """Tells whether what an earlier command made of a video is there and what this one would make."""
        self._go_on()
        try:
            same = stored.folder == folder and stored.key == self.key(medium)
        except SignoffError:  # whoever makes it again will hear of that
            return False
        return same and self._out.is_intact(stored)

    def made(self, medium: Medium, folder: str) -> VideoRecord:
        """Makes the crops of a video and puts them in their place.

        Raises:
            SignoffError: It cannot be read, its faces cannot be cut out, or something stands in the way.
            KeyboardInterrupt: The command is being stopped.
        """
        key, target = self.key(medium), self._out.empty_folder()
        source = frames_of_medium(medium, self._request.frames, self._go_on)
        frames = [
            (frame.index, self._candidates(medium, frame, target / f"candidate_{number}"))
            for number, frame in enumerate(source.frames)
        ]
        chosen: dict[int, list[_Candidate]] = {}
        for (index, _), taken in zip(frames, self._chosen([each for _, each in frames]), strict=True):
            chosen.setdefault(index, []).extend(taken)
        crops = tuple(crop for index, taken in chosen.items() for crop in _named(index, taken))
        for left in target.glob("candidate_*"):
            left.unlink()
        record = VideoRecord(medium.video, folder, key, source.length, len(chosen), source.damage, crops)
        self._out.take(record, target)
        return record

    def _go_on(self) -> None:
        if self._stopped.is_set():
            raise KeyboardInterrupt

    def _candidates(self, medium: Medium, frame: Frame, start: Path) -> list[_Candidate]:
        """Cuts out the faces of a frame that may be chosen once all frames are known."""
        if self._finder is None:
            return [_written(None, Image.fromarray(frame.pixels), start)]
        contract = self._request.faces
        faces = self._finder.faces(medium.video, frame.index, frame.pixels)
        if contract.choice == "consistent":
            faces = tuple(face for face in faces if face.score >= contract.min_score)
        else:
            faces = chosen_faces(faces, contract)
        return [
            _written(face, crop_of_face(frame.pixels, face, contract), start.with_name(f"{start.name}_{number}"))
            for number, face in enumerate(faces)
        ]

    def _chosen(self, frames: Sequence[Sequence[_Candidate]]) -> list[list[_Candidate]]:
        if self._finder is None:
            return [list(candidates) for candidates in frames]
        faces = [[candidate.face for candidate in candidates if candidate.face is not None] for candidates in frames]
        return [
            [next(candidate for candidate in candidates if candidate.face == face) for face in taken]
            for candidates, taken in zip(frames, faces_of_video(faces, self._request.faces), strict=True)
        ]


@dataclass(frozen=True)
class _Candidate:
    face: Face | None
    path: Path
    sha256: str


def _written(face: Face | None, image: Image.Image, path: Path) -> _Candidate:
    stream = io.BytesIO()
    image.save(stream, "PNG", compress_level=_COMPRESSION)
    path.write_bytes(stream.getvalue())
    return _Candidate(face, path, hashlib.sha256(stream.getvalue()).hexdigest())


def _named(index: int, taken: Sequence[_Candidate]) -> Iterator[Crop]:
    """Gives the crops of a frame their names: its number, and which of its faces they are if there are several."""
    for number, candidate in enumerate(taken):
        name = f"{index:06d}_{number}.png" if len(taken) > 1 else f"{index:06d}.png"
        candidate.path.replace(candidate.path.with_name(name))
        yield Crop(name, index, candidate.sha256)
