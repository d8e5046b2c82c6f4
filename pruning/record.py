"""What pruning did and measured; kept with the pruned weights and shown by the report.

Signal-to-noise ratios are those of the fake logit against the dense detector's: 10 log10 of its variance within a class
over the mean squared difference, in dB, as `calibration.int8_record` has them for INT8.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

KindName = Literal["unstructured", "structured", "2:4"]
RecipeName = Literal["accurate", "magnitude"]


@dataclass(frozen=True)
class LayerPruning:
    """One convolution or linear layer.

    Attributes:
        name: Its name.
        role: What it does, such as `convolution` or `squeeze-excite`.
        weights: Weights of the dense layer.
        removed: How many of them are gone for good, with the channels they belonged to.
        zeros: How many of those left are zero.
    """

    name: str
    role: str
    weights: int
    removed: int
    zeros: int

    @property
    def mask_ratio(self) -> float:
        """Share of the dense layer's weights that is gone or zero, 0 to 1."""
        return (self.removed + self.zeros) / max(self.weights, 1)


@dataclass(frozen=True)
class Closeness:
    """How close a detector is to the dense one, on calibration images that nothing was fitted to.

    Attributes:
        sqnr_db: Of the logit.
        auc: Per image.
        flipped: Decisions at probability 0.5 that differ from the dense detector's.
    """

    sqnr_db: float
    auc: float
    flipped: int


@dataclass(frozen=True)
class PruningStep:
    """One step of pruning or repair; a repair is kept only if it raises the SQNR.

    Attributes:
        name: What it is, in words.
        before: Before it.
        after: After it.
        kept: Whether it was kept.
    """

    name: str
    before: Closeness
    after: Closeness
    kept: bool


@dataclass(frozen=True)
class PruningRecord:
    """How a pruned detector was made, and how close to the dense one it is.

    Attributes:
        kind: `unstructured` and `2:4` set weights to zero, `structured` removes channels.
        percent: What was asked for: zeros among the weights of convolutions and linear layers, parameters removed, or
            zeros in each layer of 2:4 sparsity.
        recipe: How weights or channels were chosen.
        layers: Every convolution and linear layer, in graph order.
        parameters_before: Trainable parameters of the dense detector.
        parameters_after: Trainable parameters left, zeros included.
        macs_before: Multiply-accumulate operations per image of the dense detector.
        macs_after: The same of the pruned one; a kernel that does not skip zeros executes all of them.
        dense: The dense detector itself, whose SQNR is the largest there is.
        steps: Pruning, which is always kept, and the repairs, in order.
        final: What came out.
        fitted_images: Images that choices and repairs rest on.
        held_back_images: Images that judge.
        min_sqnr_db: SQNR that the limits ask for; None if no limit was set.
        max_auc_drop: Largest loss of AUC asked for; None if none was.
        max_flip_share: Largest share of reversed decisions asked for; None if none was.
        nearest_percent: Where a limit is missed, the largest percentage that is predicted to meet it; None where none
            is missed, or no percentage meets it.
        missed: A sentence for each limit that is not met.
        warnings: What a reader must know, one sentence each.
    """

    kind: KindName
    percent: int
    recipe: RecipeName
    layers: tuple[LayerPruning, ...]
    parameters_before: int
    parameters_after: int
    macs_before: int
    macs_after: int
    dense: Closeness
    steps: tuple[PruningStep, ...]
    final: Closeness
    fitted_images: int
    held_back_images: int
    min_sqnr_db: float | None = None
    max_auc_drop: float | None = None
    max_flip_share: float | None = None
    nearest_percent: int | None = None
    missed: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def zero_fraction(self) -> float:
        """Zeros among the weights of convolutions and linear layers that are left, 0 to 1."""
        left = sum(layer.weights - layer.removed for layer in self.layers)
        return sum(layer.zeros for layer in self.layers) / max(left, 1)

    @property
    def mask_ratio(self) -> float:
        """Share of the dense network's convolution and linear weights that is gone or zero, 0 to 1."""
        lost = sum(layer.removed + layer.zeros for layer in self.layers)
        return lost / max(sum(layer.weights for layer in self.layers), 1)

    @property
    def removed_fraction(self) -> float:
        """Share of the trainable parameters that is gone for good, 0 to 1."""
        return 1 - self.parameters_after / self.parameters_before

    def to_dict(self) -> dict[str, Any]:
        """Returns the record for a sidecar."""
        return asdict(self)
