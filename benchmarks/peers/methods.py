"""What a method is: one way to make an ONNX graph of the detector, one row of a table."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

Family = Literal["reference", "ours", "onnxruntime", "nncf", "modelopt", "nncf-pruning", "torch-pruning"]

REFERENCE = "fp32"


@dataclass(frozen=True)
class Method:
    """One way to make an ONNX graph of the detector.

    Attributes:
        name: Name of the row and of its folder.
        title: What the table calls it.
        family: Who makes the graph.
        settings: What was chosen; part of the cache's key.
        why: Why these settings are what its authors recommend.
    """

    name: str
    title: str
    family: Family
    settings: Mapping[str, Any] = field(default_factory=dict)
    why: str = ""


FP32 = Method(REFERENCE, "FP32", "reference")
