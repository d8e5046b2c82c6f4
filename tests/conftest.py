"""Fixtures that several rooms share."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest
import torch

from export.onnx_from_torch import onnx_from_torch
from tests.detectors import random_detector

if TYPE_CHECKING:
    import onnx

    from export.checkpoint import Detector

# Several processes share the tests (`make test`); more threads than processors would make them wait for each other.
torch.set_num_threads(1 if "PYTEST_XDIST_WORKER" in os.environ else 2)
# A shell starts background jobs with Ctrl-C ignored, and children inherit that; some tests press it.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def detector() -> Detector:
    """A small EfficientNet with random weights."""
    return random_detector()


@pytest.fixture(scope="session")
def _exported(detector: Detector) -> onnx.ModelProto:
    return onnx_from_torch(detector)


@pytest.fixture
def fp32_model(_exported: onnx.ModelProto) -> onnx.ModelProto:
    """The detector's FP32 graph; every test gets a copy of its own."""
    copy = type(_exported)()
    copy.CopyFrom(_exported)
    return copy
