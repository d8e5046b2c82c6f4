"""NNCF's post-training quantization of the ONNX graph, plain and with accuracy control."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import nncf
import numpy as np
import onnx

from evaluate.metrics import roc_auc
from export.contract import INPUT_NAME, OUTPUT_NAME
from export.runners import session_from_model
from export.versions import versions_of
from peers.inputs import calibration_images, calibration_videos

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from peers.job import Job
    from peers.methods import Method

HELD_BACK_SHARE = 4


def quantize_by_nncf(job: Job, method: Method, graph: Path) -> Mapping[str, Any]:
    """Quantizes the FP32 graph and writes the result to `graph`."""
    model = onnx.load(job.fp32_graph)
    images = calibration_images(job)
    videos = calibration_videos(job)
    if method.settings["accuracy_control"]:
        calibrating, validating = _split_by_video(videos)
        quantized = nncf.quantize_with_accuracy_control(
            model,
            _dataset(images, calibrating),
            _dataset(images, validating),
            _auc_of_model(images, [is_fake for _, is_fake in videos]),
            max_drop=method.settings["max_drop"],
            subset_size=len(calibrating),
        )
        remark = f"calibrated on {len(calibrating)} images, validated on {len(validating)}"
    else:
        calibrating, remark = list(range(len(images))), ""
        quantized = nncf.quantize(model, _dataset(images, calibrating), subset_size=len(calibrating))
    onnx.save(quantized, graph)
    return {"images": len(images), "remark": remark, "versions": versions_of("nncf", "onnx", "onnxruntime", "numpy")}


def _dataset(images: NDArray[np.float32], indices: Sequence[int]) -> nncf.Dataset:
    """Returns images by their index; batches of one, because NNCF takes statistics per sample."""
    return nncf.Dataset(list(indices), lambda index: {INPUT_NAME: np.array(images[index : index + 1])})


def _auc_of_model(
    images: NDArray[np.float32], labels: Sequence[bool]
) -> Callable[[onnx.ModelProto, Iterable[int]], tuple[float, list[float]]]:
    """Returns the validation function: AUC of the images, and how likely each one's label is by its logit."""

    def validate(model: onnx.ModelProto, indices: Iterable[int]) -> tuple[float, list[float]]:
        session, chosen = session_from_model(model), list(indices)
        logits = np.array([_logit(session, images, index) for index in chosen])
        is_fake = np.array([labels[index] for index in chosen], dtype=np.bool_)
        likelihoods = -np.logaddexp(0.0, np.where(is_fake, -logits, logits))
        # NNCF first tries one image, of which there is no AUC, to see what kind of function this is.
        auc = roc_auc(is_fake, logits) if 0 < is_fake.sum() < len(chosen) else 0.0
        return auc, likelihoods.tolist()

    return validate


def _logit(session: Any, images: NDArray[np.float32], index: int) -> float:
    return float(session.run([OUTPUT_NAME], {INPUT_NAME: np.array(images[index : index + 1])})[0].item())


def _split_by_video(videos: Sequence[tuple[str, bool]]) -> tuple[list[int], list[int]]:
    """Holds back the images of every fourth video of each class."""
    held_back = set()
    for wanted in (False, True):
        names = sorted({video for video, is_fake in videos if is_fake == wanted})
        held_back.update(names[HELD_BACK_SHARE - 1 :: HELD_BACK_SHARE])
    return (
        [index for index, (video, _) in enumerate(videos) if video not in held_back],
        [index for index, (video, _) in enumerate(videos) if video in held_back],
    )
