"""What every method starts from: the FP32 graph and the calibration images as arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx

from calibration.loading import BatchReader
from export.checkpoint import detector_from_checkpoint
from export.half_precision import fp16_from_fp32
from export.onnx_from_torch import onnx_from_torch
from export.sidecar import read_json, write_atomically, write_json
from peers.methods import REFERENCE

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from peers.job import Job
    from peers.methods import Method

_BATCH = 8


def write_inputs(job: Job) -> Mapping[str, Any]:
    """Exports the detector and decodes the calibration images."""
    model = onnx_from_torch(detector_from_checkpoint(job.checkpoint, job.contract))
    with write_atomically(job.fp32_graph) as temporary:
        onnx.save(model, temporary)
    samples = job.calibration_set.samples
    batches = BatchReader(samples, job.contract.input, _BATCH)
    with write_atomically(job.calibration_array) as temporary:
        np.save(temporary, np.concatenate([batch.images for batch in batches]))
    write_json(job.calibration_labels, [[sample.video, sample.is_fake] for sample in samples])
    return {"images": len(samples)}


def write_reference(job: Job, method: Method, graph: Path) -> Mapping[str, Any]:
    """Writes the FP32 graph itself or its conversion to FP16."""
    model = onnx.load(job.fp32_graph)
    onnx.save(model if method.name == REFERENCE else fp16_from_fp32(model), graph)
    return {}


def calibration_images(job: Job) -> NDArray[np.float32]:
    """Returns the calibration images, mapped from their file so that they cost memory only while they are used."""
    images: NDArray[np.float32] = np.load(job.calibration_array, mmap_mode="r", allow_pickle=False)
    return images


def calibration_videos(job: Job) -> tuple[tuple[str, bool], ...]:
    """Returns video and label (True is fake) of each calibration image."""
    return tuple((str(video), bool(is_fake)) for video, is_fake in read_json(job.calibration_labels))
