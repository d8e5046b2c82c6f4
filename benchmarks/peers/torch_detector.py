"""What the methods that prune in PyTorch start from and end with."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import onnx
import torch

from export.checkpoint import Detector, detector_from_checkpoint
from export.onnx_from_torch import onnx_from_torch
from peers.inputs import calibration_images

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from torch import nn

    from peers.job import Job


def detector_of_job(job: Job) -> Detector:
    """Loads the dense detector."""
    return detector_from_checkpoint(job.checkpoint, job.contract)


def write_pruned(detector: Detector, module: nn.Module, graph: Path) -> None:
    """Exports the pruned network as the dense one was exported."""
    onnx.save(onnx_from_torch(replace(detector, module=module.eval(), sha256="")), graph)


def calibration_batches(job: Job, size: int) -> Iterator[torch.Tensor]:
    """Yields all calibration images in a random order, so that a batch has the statistics of the set."""
    images = calibration_images(job)
    order = np.random.default_rng(job.seed).permutation(len(images))
    # Batches of `size` or a little more: a last one of a single image has no variance where a map is 1x1.
    for chosen in np.array_split(order, max(1, len(order) // size)):
        yield torch.from_numpy(np.array(images[chosen]))
