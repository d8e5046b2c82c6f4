"""Reference runners: the PyTorch module itself and ONNX Runtime on the CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from export.contract import INPUT_NAME, OUTPUT_NAME
from export.errors import BackendError

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    import onnx
    from numpy.typing import NDArray
    from torch import nn
    from typing_extensions import Self

    from export.runner import Images


class TorchRunner:
    """Runs a PyTorch module in inference mode."""

    def __init__(self, module: nn.Module) -> None:
        self._module = module

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def infer(self, images: Images) -> NDArray[np.float32]:
        """Returns fake logits (N,) of normalized images (N, 3, size, size)."""
        import torch

        with torch.inference_mode():
            logits: NDArray[np.float32] = self._module(torch.from_numpy(images)).float().numpy().reshape(-1)
        return logits


class OnnxRunner:
    """Runs an ONNX model with ONNX Runtime's CPU provider; the session lives inside the `with` block.

    FP16 graphs are computed in FP32 there, and Q/DQ pairs are simulated around float kernels: scores are a faithful
    simulation, speed is not.
    """

    def __init__(self, model: Path | onnx.ModelProto, threads: int = 0) -> None:
        self._model = model
        self._threads = threads
        self._session: Any = None

    def __enter__(self) -> Self:
        self._session = session_from_model(self._model, self._threads)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._session = None

    def infer(self, images: Images) -> NDArray[np.float32]:
        """Returns fake logits (N,) of normalized images (N, 3, size, size)."""
        if self._session is None:
            raise RuntimeError("OnnxRunner.infer was called outside its 'with' block")
        logits = self._session.run([OUTPUT_NAME], {INPUT_NAME: images})[0]
        return np.asarray(logits, dtype=np.float32).reshape(-1)


def session_from_model(model: Path | bytes | onnx.ModelProto, threads: int = 0, name: str = "the model") -> Any:
    """Creates an `onnxruntime.InferenceSession` on the CPU.

    Args:
        model: A file, its bytes or a model in memory.
        threads: Threads within an operator; 0 lets ONNX Runtime take every core.
        name: What messages call a model that is not a file.

    Raises:
        BackendError: ONNX Runtime is not installed or refuses the model.
    """
    settings = session_options(threads)
    import onnxruntime

    if hasattr(model, "SerializeToString"):
        source: str | bytes = model.SerializeToString()
    elif isinstance(model, bytes):
        source = model
    else:
        source = name = str(model)
    try:
        return onnxruntime.InferenceSession(source, settings, providers=["CPUExecutionProvider"])
    except Exception as error:
        # ONNX Runtime's exceptions share no public base class besides Exception.
        raise BackendError(f"ONNX Runtime refuses {name}: {' '.join(str(error).split())[:300]}") from error


def session_options(threads: int = 0) -> Any:
    """Returns `onnxruntime.SessionOptions` by which Q/DQ pairs do exactly what the graph says.

    Raises:
        BackendError: ONNX Runtime is not installed.
    """
    try:
        import onnxruntime
    except ImportError:
        raise BackendError("ONNX Runtime is not installed; run: pip install 'engine-signoff[cpu]'") from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    # Otherwise ONNX Runtime fuses Q/DQ pairs in its own way, quantizes float biases to int32 and, with FP16 scales,
    # returns garbage (microsoft/onnxruntime#22889). Without that, the pairs do exactly what the graph says.
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    return options
