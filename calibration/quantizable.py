"""Whether the INT8 search can follow a network at all; known from its graph, so that hours of work are not lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from calibration.logit_alignment import require_alignable
from calibration.torch_graph import require_computable

if TYPE_CHECKING:
    import onnx


def require_quantizable(model: onnx.ModelProto) -> None:
    """Refuses a network whose operators are unknown to the INT8 search, or whose logit cannot be aligned.

    Args:
        model: The exported FP32 graph.

    Raises:
        QuantizationError: The message names what stands in the way, and what to build instead.
    """
    require_computable(model.graph)
    require_alignable(model.graph)
