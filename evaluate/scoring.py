"""Runs a runner over the test set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from evaluate.scores import FrameScore
from export.errors import BackendError, DataError
from export.progress import progress_bar

if TYPE_CHECKING:
    from pathlib import Path

    from calibration.loading import Batch, BatchReader
    from calibration.samples import Sample
    from export.runner import Runner


@dataclass(frozen=True)
class ScoredFrames:
    """The frames that were scored and those whose image did not decode."""

    frames: tuple[FrameScore, ...]
    unreadable: tuple[Sample, ...]

    @property
    def lost_videos(self) -> frozenset[str]:
        """Videos that have no score because none of their frames decodes."""
        return frozenset(s.video for s in self.unreadable) - frozenset(f.video for f in self.frames)


def frame_scores_from_runner(runner: Runner, reader: BatchReader, root: Path, label: str) -> ScoredFrames:
    """Scores every frame of a reader.

    Args:
        runner: An entered runner.
        reader: The test set; decides what happens to unreadable images.
        root: Data root, to which the frames' paths are made relative.
        label: Text of the progress bar, such as the variant's name.

    Raises:
        BackendError: The runner returns NaN, infinity or another number of logits than of images.
        DataError: Not one image could be read.
        ImageError: An image does not decode and the reader does not skip those.
    """
    frames: list[FrameScore] = []
    for batch in progress_bar(reader, label, total=len(reader), unit="batch"):
        frames += _batch_scores(runner, batch, root)
    if not frames:
        raise DataError(f"none of the {len(reader.unreadable)} images under {root} could be read; check the data set")
    return ScoredFrames(tuple(frames), tuple(reader.unreadable))


def _batch_scores(runner: Runner, batch: Batch, root: Path) -> list[FrameScore]:
    logits = runner.infer(batch.images)
    if logits.shape != (len(batch.samples),):
        raise BackendError(f"the engine returned logits of shape {logits.shape} for {len(batch.samples)} images")
    broken = np.flatnonzero(~np.isfinite(logits))
    if broken.size:
        raise BackendError(
            f"the engine returned {logits[broken[0]]} for {batch.samples[broken[0]].path} "
            f"({broken.size} of {len(logits)} images in the batch); rebuild it or use a higher precision"
        )
    return [
        FrameScore(_path_from_root(sample.path, root), sample.video, sample.is_fake, float(logit))
        for sample, logit in zip(batch.samples, logits, strict=True)
    ]


def _path_from_root(path: Path, root: Path) -> str:
    return (path.relative_to(root) if path.is_relative_to(root) else path).as_posix()
