"""What is known of each channel of an activation: extremes, typical extremes and moments, in constant memory."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
import torch

from calibration.errors import CalibrationError
from export.contract import INPUT_NAME, OUTPUT_NAME
from export.progress import progress_bar

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from calibration.loading import Batch, BatchReader
    from calibration.torch_graph import TorchGraph


@dataclass(frozen=True)
class ChannelStatistics:
    """Values of one tensor, channel by channel; every array is float64 of shape (C,).

    Attributes:
        low: Smallest value.
        high: Largest value.
        mean: Mean value.
        mean_square: Mean of the squared values.
    """

    low: NDArray[np.float64]
    high: NDArray[np.float64]
    mean: NDArray[np.float64]
    mean_square: NDArray[np.float64]

    @property
    def variance(self) -> NDArray[np.float64]:
        """Variance of the values."""
        return np.maximum(self.mean_square - self.mean**2, 0)


class StreamingChannelStatistics:
    """Collects statistics batch by batch; sums are kept in float64, so the order of batches does not matter."""

    def __init__(self) -> None:
        self._low: torch.Tensor | None = None
        self._high = self._sum = self._square = torch.zeros(0)
        self._count = 0

    def update(self, values: torch.Tensor, channel_axis: int = 1) -> None:
        """Takes in a batch of shape (N, C, ...), or one with its channels along another axis."""
        moved = values.movedim(channel_axis, 1)
        flat = moved.reshape(*moved.shape[:2], -1)
        low, high = flat.amin(dim=(0, 2)), flat.amax(dim=(0, 2))
        total = flat.sum(dim=2).double().sum(dim=0)
        square = flat.square().sum(dim=2).double().sum(dim=0)
        if self._low is None:
            self._low, self._high, self._sum, self._square = low, high, total, square
        else:
            self._low, self._high = torch.minimum(self._low, low), torch.maximum(self._high, high)
            self._sum, self._square = self._sum + total, self._square + square
        self._count += flat.shape[0] * flat.shape[2]

    def snapshot(self) -> ChannelStatistics:
        """Returns what was seen.

        Raises:
            CalibrationError: Nothing was seen, or a value was NaN or infinite.
        """
        if self._low is None:
            raise CalibrationError("no values were counted; calibration needs at least one readable image")
        found = ChannelStatistics(
            low=self._low.double().cpu().numpy(),
            high=self._high.double().cpu().numpy(),
            mean=(self._sum / self._count).cpu().numpy(),
            mean_square=(self._square / self._count).cpu().numpy(),
        )
        if not all(np.isfinite(part).all() for part in (found.low, found.high, found.mean, found.mean_square)):
            raise CalibrationError("a value is NaN or infinite; the model fails on a calibration image even in FP32")
        return found


def channel_statistics_from_samples(
    graph: TorchGraph, tensors: Collection[str], reader: BatchReader
) -> Mapping[str, ChannelStatistics]:
    """Measures tensors of a float graph over a calibration set.

    Args:
        graph: The FP32 graph.
        tensors: Which of its tensors.
        reader: The calibration images.

    Raises:
        CalibrationError: No image could be read, or the model is not finite on one of them.
    """
    counters = {tensor: StreamingChannelStatistics() for tensor in sorted(tensors)}
    with torch.inference_mode():
        for batch in progress_bar(reader, "measuring channels", len(reader), "batch"):
            images = torch.from_numpy(batch.images).to(graph.device)
            values = graph.run({INPUT_NAME: images}, keep=counters.keys())
            _require_finite(values[OUTPUT_NAME].reshape(-1), batch)
            for tensor, counter in counters.items():
                counter.update(values[tensor], graph.channel_axes.get(tensor, 1))
    found = {}
    for tensor, counter in counters.items():
        try:
            found[tensor] = counter.snapshot()
        except CalibrationError as error:
            raise CalibrationError(f"tensor {tensor}: {error}") from error
    return found


def _require_finite(logits: torch.Tensor, batch: Batch) -> None:
    for sample, logit in zip(batch.samples, logits.tolist(), strict=True):
        if not np.isfinite(logit):
            raise CalibrationError(
                f"the FP32 model gives {logit} on {sample.path}: it is broken, or the image is; check the weights "
                "in PyTorch before compressing them"
            )


def write_channel_statistics(path: Path, statistics: Mapping[str, ChannelStatistics]) -> None:
    """Writes statistics as a NumPy archive; equal statistics give equal bytes."""
    arrays = {
        f"{tensor}|{part.name}": getattr(found, part.name)
        for tensor, found in statistics.items()
        for part in fields(found)
    }
    with path.open("wb") as stream:
        np.savez(stream, **arrays)


def read_channel_statistics(path: Path) -> dict[str, ChannelStatistics]:
    """Reads what `write_channel_statistics` wrote.

    Raises:
        CalibrationError: The file is something else.
    """
    try:
        # Opened here, because NumPy leaves the file of a broken archive open.
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            parts = {key: archive[key] for key in archive.files}
        tensors = dict.fromkeys(key.rpartition("|")[0] for key in parts)
        names = [part.name for part in fields(ChannelStatistics)]
        return {tensor: ChannelStatistics(*(parts[f"{tensor}|{name}"] for name in names)) for tensor in tensors}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise CalibrationError(
            f"{path} holds no channel statistics ({error}); delete it to have it made again"
        ) from error
