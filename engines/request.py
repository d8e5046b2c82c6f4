"""What `build-engines` was asked for; loads nothing that computes, so that a mistake is told at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from calibration.int8_recipe import Int8Recipe
from engines.backend import BuildOptions
from pruning.recipe import PruningRecipe

if TYPE_CHECKING:
    from pathlib import Path

    from export.contract import ModelContract
    from export.variant import Variant


@dataclass(frozen=True)
class BuildRequest:
    """What `build-engines` was asked for, with every default written out.

    Attributes:
        out: The run folder.
        checkpoint: The trained detector.
        contract: What its model file declares.
        variants: Rows of the report to be.
        backends: Names of the backends to build for.
        calibration: Data set of calibration faces; INT8 and pruned variants need one.
        calibration_images: How many of its frames to use.
        seed: Seed of the choice of those frames.
        int8: How to make INT8 variants.
        pruning: How to prune.
        options: How TensorRT builds.
        skip_unreadable: Goes on without calibration images that do not decode.
        stability: Also measures how much INT8 variants depend on their calibration images.
        calibration_split: The split to calibrate with, `all` for every one; None for the training split.
    """

    out: Path
    checkpoint: Path
    contract: ModelContract
    variants: tuple[Variant, ...]
    backends: tuple[str, ...]
    calibration: Path | None = None
    calibration_images: int = 256
    seed: int = 0
    int8: Int8Recipe = field(default_factory=Int8Recipe)
    pruning: PruningRecipe = field(default_factory=PruningRecipe)
    options: BuildOptions = field(default_factory=BuildOptions)
    skip_unreadable: bool = False
    stability: bool = False
    calibration_split: str | None = None
