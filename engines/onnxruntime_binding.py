"""One input and one output of an ONNX Runtime session in a device's memory, so that copies and compute are apart."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from engines.engine_runner import Query
from export.contract import INPUT_NAME, OUTPUT_NAME

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from export.runner import Images


class DeviceBinding:
    """Copies in, computes and copies out, each until it is done.

    Args:
        session: An `onnxruntime.InferenceSession`.
        device: `cuda`, or `cpu`, whose memory the tests use.
        index: Index of the device.
    """

    def __init__(self, session: Any, device: str, index: int) -> None:
        self._session = session
        self._device = device
        self._index = index
        self._binding = session.io_binding()
        self._input: Any = None

    def run(self, images: Images) -> tuple[NDArray[np.float32], Query]:
        """Returns the fake logits (N,) and how long each step took by the host's clock."""
        if self._input is None or tuple(self._input.shape()) != images.shape:
            self._bind(images)
        started = time.perf_counter()
        self._input.update_inplace(np.ascontiguousarray(images))
        copied = time.perf_counter()
        self._session.run_with_iobinding(self._binding)
        self._binding.synchronize_outputs()
        computed = time.perf_counter()
        logits = np.array(self._binding.get_outputs()[0].numpy(), dtype=np.float32).reshape(-1)
        ended = time.perf_counter()
        query = Query(started, ended, 1000 * (computed - copied), 1000 * (copied - started), 1000 * (ended - computed))
        return logits, query

    def _bind(self, images: Images) -> None:
        from onnxruntime import OrtValue

        shape, kind = list(images.shape), images.dtype.type
        self._input = OrtValue.ortvalue_from_shape_and_type(shape, kind, self._device, self._index)
        self._binding.bind_ortvalue_input(INPUT_NAME, self._input)
        # By its place and not to memory of ours: ONNX Runtime allocates the output of each batch from its own arena.
        self._binding.bind_output(OUTPUT_NAME, self._device, self._index)
