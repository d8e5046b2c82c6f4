"""Finds Q/DQ graphs that TensorRT would refuse or, worse, misread; it names the node.

TensorRT's parser accepts some faults with a warning at most: a uint8 zero point of 0 is read as int8, so that
everything above half the range saturates; scales on the wrong axis and per-channel activations build without a word.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from calibration.errors import QuantizationError
from calibration.qdq_pair_rules import PAIR_RULES
from calibration.qdq_place_rules import PLACE_RULES
from calibration.typed_graph import TypedGraph

if TYPE_CHECKING:
    import onnx

    from calibration.typed_graph import Finding


def lint_qdq(model: onnx.ModelProto) -> tuple[Finding, ...]:
    """Checks a graph with explicit quantization.

    Args:
        model: A graph whose nodes have names; FP32 or FP16 around its Q/DQ pairs.

    Returns:
        What is wrong, rule by rule in graph order; empty if nothing is.
    """
    typed = TypedGraph(model)
    return tuple(finding for rule in (*PAIR_RULES, *PLACE_RULES) for finding in rule(typed))


def require_valid_qdq(model: onnx.ModelProto) -> None:
    """Refuses a graph that TensorRT would refuse or misread.

    Raises:
        QuantizationError: `lint_qdq` found something; the message names the first node and counts the others.
    """
    findings = lint_qdq(model)
    if findings:
        first = findings[0]
        others = f" (and {len(findings) - 1} more findings)" if len(findings) > 1 else ""
        raise QuantizationError(
            f"node {first.node}: {first.message}{others}; TensorRT would refuse or misread this graph, "
            "quantize the FP32 export again"
        )
