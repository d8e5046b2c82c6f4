"""Scores every frame of a test set, going on where an earlier run stopped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluate.scoring.scoring import ScoredFrames, no_readable_image, scored_batches
from evaluate.scoring.unfinished_scores import ScoredSample, frames_of
from export.errors import BackendError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from calibration.loading import BatchReader
    from calibration.samples import Sample, SampleSet
    from evaluate.scoring.scoring import InferEach
    from evaluate.scoring.unfinished_scores import UnfinishedScores


def resumed_frames(
    infer_each: InferEach,
    reader_of: Callable[[Sequence[Sample]], BatchReader],
    known: Sequence[ScoredSample],
    samples: SampleSet,
    unfinished: UnfinishedScores,
    name: str,
) -> ScoredFrames:
    """Scores what is not known yet, and keeps every batch as soon as it is done.

    Args:
        infer_each: Returns the logits of each batch.
        reader_of: Returns a reader of the samples that are left.
        known: What an earlier run has of the first samples.
        samples: The whole test set.
        unfinished: Where to keep the batches.
        name: What is scored, for messages.

    Raises:
        BackendError: The runner fails; the message says how many images are scored by then.
        SignoffError: An image does not decode, or nothing does.
    """
    scored, every = list(known), samples.samples
    try:
        for batch, logits in scored_batches(infer_each, reader_of(every[len(scored) :]), f"scoring {name}"):
            done = _with_those_between(every[len(scored) :], batch, logits)
            unfinished.append(done)
            scored += done
    except BackendError as error:
        if not scored:
            raise
        told = f"{len(scored)} of {len(every)} images of {name} are scored and kept"
        raise BackendError(f"{error}; {told}, the same command goes on from there") from error
    scored += [ScoredSample(sample, None) for sample in every[len(scored) :]]
    frames = frames_of(scored, samples.root)
    if not frames:
        raise no_readable_image(len(every), samples.root)
    return ScoredFrames(frames, tuple(entry.sample for entry in scored if entry.logit is None))


def _with_those_between(
    upcoming: Sequence[Sample], batch: Sequence[Sample], logits: Sequence[float]
) -> list[ScoredSample]:
    """Returns the samples up to the last of a batch: those of the batch, and those between that do not decode."""
    logit_of = dict(zip(batch, logits, strict=True))
    end = upcoming.index(batch[-1]) + 1
    return [ScoredSample(sample, logit_of.get(sample)) for sample in upcoming[:end]]
