"""Samples without images, for what looks at names and labels alone."""

from __future__ import annotations

from pathlib import Path

from calibration.samples import Sample


def samples_named(fake: int, real: int, frames: int = 2) -> list[Sample]:
    """Returns the frames of as many fake and real videos."""
    videos = [(f"Celeb-synthesis/id{i:03d}_id999_0000", True) for i in range(fake)]
    videos += [(f"Celeb-real/id{i:03d}_0000", False) for i in range(real)]
    return [
        Sample(Path("data") / video / f"{frame:03d}.jpg", is_fake, f"{video}.mp4", (video,))
        for video, is_fake in videos
        for frame in range(frames)
    ]
