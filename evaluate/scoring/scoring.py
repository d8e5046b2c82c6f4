"""Runs a runner over the test set."""

from __future__ import annotations

from collections import deque
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from calibration.samples import path_from_root
from evaluate.scores import FrameScore
from export.errors import BackendError, DataError
from export.progress import progress_bar

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator
    from pathlib import Path
    from typing import TypeAlias

    from numpy.typing import NDArray

    from calibration.loading import BatchReader
    from calibration.samples import Sample
    from export.runner import Images, Runner

    # `EngineRunner.infer_each`, or what does the same.
    InferEach: TypeAlias = Callable[[Iterable[Images]], Iterator[NDArray[np.float32]]]


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
    """Scores every frame of a reader, batch after batch.

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
    frames = [
        frame_score(sample, logit, root)
        for samples, logits in scored_batches(partial(map, runner.infer), reader, label)
        for sample, logit in zip(samples, logits, strict=True)
    ]
    if not frames:
        raise no_readable_image(len(reader.unreadable), root)
    return ScoredFrames(tuple(frames), tuple(reader.unreadable))


def scored_batches(
    infer_each: InferEach, reader: BatchReader, label: str
) -> Iterator[tuple[tuple[Sample, ...], list[float]]]:
    """Yields the samples and the logits of each batch, while the next ones are decoded and on their way to the device.

    Raises:
        BackendError: The runner returns NaN, infinity or another number of logits than of images, or of batches.
        ImageError: An image does not decode and the reader does not skip those.
    """
    ahead: deque[tuple[Sample, ...]] = deque()

    def images() -> Generator[Images, None, None]:
        for batch in reader:
            ahead.append(batch.samples)
            yield batch.images

    # What is in flight uses the images, so the runner is let go of first.
    with closing(images()) as fed, closing(_closable(infer_each(fed))) as logits_of_batches:
        for logits in progress_bar(logits_of_batches, label, total=len(reader), unit="batch"):
            if not ahead:
                raise BackendError("the engine returned logits for more batches than it was given")
            samples = ahead.popleft()
            _require_sound(samples, logits)
            yield samples, logits.tolist()
    if ahead:
        raise BackendError(f"the engine returned no logits for the last {len(ahead)} batches")


def frame_score(sample: Sample, logit: float, root: Path) -> FrameScore:
    """Returns what a runner says about a sample, with its path from the data root."""
    return FrameScore(path_from_root(sample.path, root), sample.video, sample.is_fake, logit, sample.frame)


def no_readable_image(count: int, root: Path) -> DataError:
    """Returns the error for a test set of which nothing decodes."""
    return DataError(f"none of the {count} images under {root} could be read; check the data set")


def _closable(logits: Iterator[NDArray[np.float32]]) -> Generator[NDArray[np.float32], None, None]:
    """Closes the iterator of a runner that can be closed; a `map` cannot, and needs it not."""
    try:
        yield from logits
    finally:
        close = getattr(logits, "close", None)
        if close is not None:
            close()


def _require_sound(samples: tuple[Sample, ...], logits: NDArray[np.float32]) -> None:
    if logits.shape != (len(samples),):
        raise BackendError(f"the engine returned logits of shape {logits.shape} for {len(samples)} images")
    broken = np.flatnonzero(~np.isfinite(logits))
    if broken.size:
        raise BackendError(
            f"the engine returned {logits[broken[0]]} for {samples[broken[0]].path} "
            f"({broken.size} of {len(logits)} images in the batch); rebuild it or use a higher precision"
        )
