from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from export.errors import BackendError, ParityError
from export.parity import FP32_TOLERANCE, Tolerance, check_fp16_range, check_parity
from export.runners import OnnxRunner, TorchRunner

if TYPE_CHECKING:
    from pathlib import Path

    from export.checkpoint import Detector

IMAGES = np.random.default_rng(0).standard_normal((4, 3, 64, 64)).astype(np.float32)


def scaled_weight(model: onnx.ModelProto, name: str, factor: float) -> None:
    weight = next(tensor for tensor in model.graph.initializer if tensor.name == name)
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * np.float32(factor), name))


def test_faithful_export_passes(detector: Detector, fp32_model: onnx.ModelProto) -> None:
    facts = check_parity(TorchRunner(detector.module), OnnxRunner(fp32_model), IMAGES, FP32_TOLERANCE, "export")
    assert facts.images == 4
    assert 0 <= facts.max_abs_difference < 1e-3


def test_changed_weight_fails(detector: Detector, fp32_model: onnx.ModelProto) -> None:
    scaled_weight(fp32_model, "classifier.weight", 1.05)
    with pytest.raises(ParityError, match="export changed the logits"):
        check_parity(TorchRunner(detector.module), OnnxRunner(fp32_model), IMAGES, FP32_TOLERANCE, "export")


def test_nan_fails(detector: Detector, fp32_model: onnx.ModelProto) -> None:
    scaled_weight(fp32_model, "classifier.weight", float("nan"))
    with pytest.raises(ParityError):
        check_parity(TorchRunner(detector.module), OnnxRunner(fp32_model), IMAGES, Tolerance(1e9, 1e9), "export")


def test_fp16_range_is_the_largest_activation(detector: Detector, fp32_model: onnx.ModelProto) -> None:
    import torch

    peaks: list[float] = []

    def observe(_module: object, _inputs: object, output: torch.Tensor) -> None:
        peaks.append(float(output.abs().max()))

    hooks = [
        layer.register_forward_hook(observe)
        for layer in detector.module.modules()
        if isinstance(layer, torch.nn.BatchNorm2d)
    ]
    with TorchRunner(detector.module) as runner:
        runner.infer(IMAGES)
    for hook in hooks:
        hook.remove()
    # Folded batch norms before their activation are among the observed tensors, so theirs is a lower bound.
    assert check_fp16_range(fp32_model, IMAGES) >= max(peaks) * 0.999


def test_overflow_is_refused(fp32_model: onnx.ModelProto) -> None:
    scaled_weight(fp32_model, "conv_stem.weight", 1e6)
    with pytest.raises(ParityError, match=r"reaches .* beyond FP16's 65504"):
        check_fp16_range(fp32_model, IMAGES)


def test_runner_outside_its_block_is_a_bug(fp32_model: onnx.ModelProto) -> None:
    with pytest.raises(RuntimeError, match="with"):
        OnnxRunner(fp32_model).infer(IMAGES)


def test_damaged_file_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "x.onnx").write_bytes(b"garbage")
    with pytest.raises(BackendError, match=r"refuses .*x\.onnx"), OnnxRunner(tmp_path / "x.onnx"):
        pass
