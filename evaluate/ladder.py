"""The stages between the checkpoint and an engine, and the AUC that each costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Stage = Literal["checkpoint", "pruned", "ONNX", "graph", "engine"]


@dataclass(frozen=True)
class LadderStep:
    """One stage of a variant on the test set.

    Attributes:
        stage: `checkpoint` is the dense PyTorch model, `pruned` the pruned one, `ONNX` its FP32 export, `graph` the
            variant's graph (FP16, or INT8 with Q/DQ pairs) by ONNX Runtime, `engine` what was signed off.
        runner: What ran it, such as `torch 2.9 (CPU)`.
        auc: AUC of the videos.
        auc_cost: AUC of the stage before minus this one's; 0.0 for the first.
        flips: Videos whose decision at 0.5 differs from the stage before.
        sqnr_db: Signal-to-noise ratio of the frames' logits against the stage before, in dB; None where none differs.
    """

    stage: Stage
    runner: str
    auc: float
    auc_cost: float
    flips: int
    sqnr_db: float | None
