"""Graphs that several modules of this room quantize."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.detectors import random_detector
from tests.exports import exported

if TYPE_CHECKING:
    import onnx


@pytest.fixture(scope="session")
def b0_model() -> onnx.ModelProto:
    """EfficientNet-B0 with random weights; it is shared, so tests do not change it."""
    return exported(random_detector(architecture="efficientnet_b0", size=64))


@pytest.fixture(scope="session")
def mobilenet_model() -> onnx.ModelProto:
    """MobileNetV3 with random weights: HardSwish, HardSigmoid gates, ReLU; it is shared, so tests do not change it."""
    return exported(random_detector(architecture="mobilenetv3_small_050", size=64))
