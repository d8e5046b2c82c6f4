"""Which faces of a video are taken: those of each frame by themselves, or one person through all frames."""

from __future__ import annotations

from typing import TYPE_CHECKING

from preparation.crop import chosen_faces
from preparation.face import overlap

if TYPE_CHECKING:
    from collections.abc import Sequence

    from export.face_contract import FaceContract
    from preparation.face import Face

# Boxes that share less than this, as intersection over union, are not the same face a moment later. Frames that are
# scored lie a third of a second or so apart, and a head that has moved by two thirds of its width still shares that.
_LEAST_OVERLAP = 0.2

Track = list[tuple[int, "Face"]]


def faces_of_video(frames: Sequence[Sequence[Face]], contract: FaceContract) -> tuple[tuple[Face, ...], ...]:
    """Returns the faces that the contract takes of each frame of a video, none where none is to be taken.

    With the choice `consistent`, faces that overlap from one frame to the next form a track, which outlives frames in
    which it is missed. The track that covers the largest area, summed over frames, is taken; and of the others, in the
    same order, each that shares no frame with one taken before: two faces of one frame are two persons, but the same
    person may form several tracks where the camera cuts or a head moves fast.

    Args:
        frames: The faces found in each frame, in the order of time.
        contract: What is taken.
    """
    if contract.choice != "consistent":
        return tuple(chosen_faces(faces, contract) for faces in frames)
    tracks = _tracks([[face for face in faces if face.score >= contract.min_score] for faces in frames])
    chosen: dict[int, Face] = {}
    for track in sorted(tracks, key=_summed_area, reverse=True):
        if not any(index in chosen for index, _ in track):
            chosen.update(track)
    return tuple((chosen[index],) if index in chosen else () for index in range(len(frames)))


def _tracks(frames: Sequence[Sequence[Face]]) -> list[Track]:
    tracks: list[Track] = []
    for index, faces in enumerate(frames):
        shared = ((overlap(track[-1][1], face), t, f) for t, track in enumerate(tracks) for f, face in enumerate(faces))
        continued: dict[int, int] = {}
        for share, t, f in sorted(shared, reverse=True):
            if share >= _LEAST_OVERLAP and t not in continued.values() and f not in continued:
                continued[f] = t
        for f, face in enumerate(faces):
            if f in continued:
                tracks[continued[f]].append((index, face))
            else:
                tracks.append([(index, face)])
    return tracks


def _summed_area(track: Track) -> float:
    return sum(face.area for _, face in track)
