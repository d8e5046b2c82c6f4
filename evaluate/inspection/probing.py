"""Scores of labelled faces under every reading of a checkpoint, and which readings the labels speak for."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np
import torch

from calibration.torch_graph import torch_device
from evaluate.metrics import roc_auc
from export.checkpoint import detector_from_checkpoint
from export.preprocessing import normalized_pixels, pixels_from_file
from export.progress import progress_bar

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import nn

    from calibration.samples import Sample
    from evaluate.inspection.readings import Reading
    from export.contract import ModelContract

_BATCH = 16
# A mean difference of losses that is larger than twice its standard error is no accident at the usual 5 %.
_ERRORS_APART = 2.0


@dataclass(frozen=True)
class ReadingScore:
    """How a reading fits labelled faces.

    Attributes:
        reading: The reading.
        logits: Fake logit of each face, shape (N,).
        log_loss: Mean negative log-likelihood of the labels in nats; log 2 = 0.693 for a detector that knows nothing.
        auc: Area under the ROC curve of the faces.
    """

    reading: Reading
    logits: NDArray[np.float64]
    log_loss: float
    auc: float


@dataclass(frozen=True)
class Comparison:
    """Readings from the best fitting one on.

    Attributes:
        scores: Sorted by log-loss.
        alike: How many of the first, the first included, cannot be told apart by these faces.
        inverted: Whether the faces say that the declared fake index is the wrong one.
        blind: Whether no reading tells fakes from reals better than chance.
    """

    scores: tuple[ReadingScore, ...]
    alike: int
    inverted: bool
    blind: bool


def score_readings(path: Path, readings: Sequence[Reading], samples: Sequence[Sample]) -> tuple[ReadingScore, ...]:
    """Scores faces under every reading; a network is loaded once per size.

    Args:
        path: The checkpoint.
        readings: What to try.
        samples: Labelled faces of both classes.

    Raises:
        CheckpointError: The checkpoint does not load.
        ImageError: An image does not decode.
    """
    is_fake = np.array([sample.is_fake for sample in samples])
    scores: dict[Reading, ReadingScore] = {}

    def pairs() -> Iterator[tuple[Reading, nn.Module, NDArray[np.uint8]]]:
        for _, of_size in groupby(sorted(readings, key=_size), key=_size):
            same_size = list(of_size)
            contract = same_size[0].contract.input
            pixels = np.stack([pixels_from_file(sample.path, contract) for sample in samples])
            for _, of_network in groupby(sorted(same_size, key=_network), key=_network):
                same = list(of_network)
                module = detector_from_checkpoint(path, same[0].contract).module.to(torch_device())
                for reading in same:
                    yield reading, module, pixels

    for reading, module, pixels in progress_bar(pairs(), "readings", len(readings)):
        logits = _logits(module, pixels, reading.contract)
        scores[reading] = ReadingScore(
            reading, logits, float(_losses(logits, is_fake).mean()), roc_auc(is_fake, logits)
        )
    return tuple(scores[reading] for reading in readings)


def compare(scores: Sequence[ReadingScore], samples: Sequence[Sample]) -> Comparison:
    """Sorts readings by log-loss and tells which of the best the faces cannot tell apart.

    The difference of two readings' losses is paired by face; its standard error takes the faces of a video as one draw.
    """
    is_fake = np.array([sample.is_fake for sample in samples])
    ordered = sorted(scores, key=lambda score: score.log_loss)
    best = _losses(ordered[0].logits, is_fake)
    alike = 0
    for score in ordered:
        difference = _losses(score.logits, is_fake) - best
        if difference.mean() > _ERRORS_APART * clustered_error(difference, [sample.video for sample in samples]):
            break
        alike += 1
    farthest = max(scores, key=lambda score: abs(score.auc - 0.5)).auc
    chance = _ERRORS_APART * _error_of_chance(is_fake)
    return Comparison(tuple(ordered), alike, farthest < 0.5 - chance, abs(farthest - 0.5) <= chance)


def _logits(module: nn.Module, pixels: NDArray[np.uint8], contract: ModelContract) -> NDArray[np.float64]:
    device = next(module.parameters()).device
    parts = []
    with torch.inference_mode():
        for start in range(0, len(pixels), _BATCH):
            images = np.stack([normalized_pixels(face, contract.input) for face in pixels[start : start + _BATCH]])
            parts.append(module(torch.from_numpy(images).to(device)).reshape(-1).double().cpu().numpy())
    logits: NDArray[np.float64] = np.concatenate(parts)
    return logits


def _losses(logits: NDArray[np.float64], is_fake: NDArray[np.bool_]) -> NDArray[np.float64]:
    losses: NDArray[np.float64] = np.logaddexp(0.0, np.where(is_fake, -logits, logits))
    return losses


def clustered_error(values: NDArray[np.float64], clusters: Sequence[str]) -> float:
    """Returns the standard error of a mean whose values are independent between clusters only."""
    sums: defaultdict[str, float] = defaultdict(float)
    for value, cluster in zip(values - values.mean(), clusters, strict=True):
        sums[cluster] += float(value)
    count = len(sums)
    correction = count / (count - 1) if count > 1 else math.inf
    return math.sqrt(correction * sum(total**2 for total in sums.values())) / len(values) if count > 1 else math.inf


def _error_of_chance(is_fake: NDArray[np.bool_]) -> float:
    """Returns the standard deviation of the AUC of scores that know nothing (Mann and Whitney, 1947)."""
    fakes = int(is_fake.sum())
    reals = len(is_fake) - fakes
    return math.sqrt((fakes + reals + 1) / (12 * fakes * reals))


def _size(reading: Reading) -> int:
    return reading.contract.input.size


def _network(reading: Reading) -> str:
    return reading.network
