"""From a dense detector to a pruned and repaired one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    import onnx

    from calibration.int8_images import Int8Images
    from export.checkpoint import Detector
    from export.variant import Pruning
    from pruning.recipe import PruningRecipe
    from pruning.record import PruningRecord


def pruned_detector(
    dense: Detector,
    dense_graph: onnx.ModelProto,
    pruning: Pruning,
    recipe: PruningRecipe,
    images: Int8Images,
    resume: Path,
) -> tuple[Detector, PruningRecord]:
    """Prunes a detector and repairs it.

    Args:
        dense: The detector to prune; it is left alone.
        dense_graph: Its exported FP32 graph.
        pruning: What is taken away, and how much.
        recipe: How that is chosen and repaired.
        images: Calibration images to fit to, and others that judge.
        resume: File that an interrupted distillation goes on from.
    """
    raise NotImplementedError
