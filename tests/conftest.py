"""Fixtures that several rooms share."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest
import torch

from tests.detectors import random_detector
from tests.exports import exported, share_exports

if TYPE_CHECKING:
    import onnx

    from export.checkpoint import Detector

# Several processes share the tests (`make test`); more threads than processors would make them wait for each other.
torch.set_num_threads(1 if "PYTEST_XDIST_WORKER" in os.environ else 2)
# A shell starts background jobs with Ctrl-C ignored, and children inherit that; some tests press it.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts files with slow tests first: a process that takes the longest one last works while the others wait."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session")
def detector() -> Detector:
    """A small EfficientNet with random weights."""
    return random_detector()


@pytest.fixture(scope="session", autouse=True)
def _exports(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Lets commands that run in this process export a checkpoint only if no test had it exported before."""
    base = tmp_path_factory.getbasetemp()
    share_exports((base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "exports")


@pytest.fixture(scope="session")
def _exported(detector: Detector, _exports: None) -> onnx.ModelProto:
    return exported(detector)


@pytest.fixture
def fp32_model(_exported: onnx.ModelProto) -> onnx.ModelProto:
    """The detector's FP32 graph; every test gets a copy of its own."""
    copy = type(_exported)()
    copy.CopyFrom(_exported)
    return copy
