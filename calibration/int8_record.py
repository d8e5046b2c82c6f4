"""What the making of an INT8 variant measured and decided; kept with the variant's graph and shown by the report.

Signal-to-quantization-noise ratios (SQNR) are those of the fake logit: 10 log10 of the FP32 logit's variance within a
class over the mean squared error, in dB. Within a class, because what separates the classes is not noise's to hide
behind: at 19 dB a binormal detector of AUC .955 loses .001.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

ArithmeticName = Literal["int8", "int8-weights", "float"]
RecipeName = Literal["accurate", "fast", "full", "minmax", "weights"]


@dataclass(frozen=True)
class GroupRecord:
    """Layers that are settled together: one convolution, or the two of a squeeze-and-excitation gate.

    Attributes:
        name: Name of its first layer.
        role: What it does, such as `convolution` or `squeeze-excite`.
        layers: Its layers.
        weights: Number of weights.
        macs: Multiply-accumulate operations per image.
        int8_sqnr_db: Logit SQNR if this group alone is computed in INT8; None if that was not considered.
        weights_sqnr_db: Logit SQNR if this group's weights alone are rounded; None if not measured.
        restored_sqnr_db: Logit SQNR of the chosen variant if this group alone is put back to floating point; None if
            not measured.
        arithmetic: How it ends up.
        reason: Why it is not INT8; empty if it is.
    """

    name: str
    role: str
    layers: tuple[str, ...]
    weights: int
    macs: int
    int8_sqnr_db: float | None
    weights_sqnr_db: float | None
    restored_sqnr_db: float | None
    arithmetic: ArithmeticName
    reason: str


@dataclass(frozen=True)
class FrontierPoint:
    """One of the best compromises between size, accuracy and INT8 arithmetic, as predicted from single groups.

    Attributes:
        size_mib: Size of the ONNX file, in MiB.
        sqnr_db: Predicted logit SQNR.
        int8_mac_share: Share of the multiply-accumulate operations done in INT8, 0 to 1.
        weight_only: Whether layers may store INT8 weights without INT8 arithmetic; without that, a layer is INT8 or
            FP16, which is what a backend that expands such weights makes of it.
        chosen: Whether this is the variant that was built.
    """

    size_mib: float
    sqnr_db: float
    int8_mac_share: float
    weight_only: bool
    chosen: bool = False


@dataclass(frozen=True)
class RepairRecord:
    """One repair step, kept only if it raises the logit SQNR of held-back images.

    Attributes:
        step: What it is, in words.
        sqnr_before_db: Before it.
        sqnr_after_db: After it.
        kept: Whether it was kept.
    """

    step: str
    sqnr_before_db: float
    sqnr_after_db: float
    kept: bool


@dataclass(frozen=True)
class Int8Record:
    """How an INT8 variant was made, and how close to FP32 it is on calibration images that no step was fitted to.

    Attributes:
        recipe: The recipe.
        groups: Every group, in graph order.
        frontier: Best compromises; empty if nothing was searched.
        repairs: Repair steps, in order.
        size_mib: Size of the ONNX file, in MiB.
        max_size_mib: Limit asked for; None if none was.
        sqnr_db: Logit SQNR on held-back calibration images.
        min_sqnr_db: SQNR aimed at; None if none was.
        flipped: Decisions at probability 0.5 that differ from FP32's on the held-back images.
        auc_difference: AUC minus FP32's, per image, on the held-back images.
        max_auc_drop: Largest loss of AUC asked for; None if none was.
        fitted_images: Images that ranges, choices and repairs rest on.
        held_back_images: Images that judge.
        range_methods: Estimator of a range -> number of tensors that it was chosen for.
        equalized_tensors: Tensors whose channels were scaled or shifted.
        missed: A sentence for each limit that is not met: by how much, and what would meet it.
        warnings: What a reader must know about the calibration images, one sentence each.
    """

    recipe: RecipeName
    groups: tuple[GroupRecord, ...]
    frontier: tuple[FrontierPoint, ...]
    repairs: tuple[RepairRecord, ...]
    size_mib: float
    max_size_mib: float | None
    sqnr_db: float
    min_sqnr_db: float | None
    flipped: int
    auc_difference: float
    max_auc_drop: float | None
    fitted_images: int
    held_back_images: int
    range_methods: dict[str, int]
    equalized_tensors: int
    missed: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def int8_mac_share(self) -> float:
        """Share of the multiply-accumulate operations done in INT8, 0 to 1."""
        total = sum(group.macs for group in self.groups)
        return sum(group.macs for group in self.groups if group.arithmetic == "int8") / max(total, 1)

    def to_dict(self) -> dict[str, Any]:
        """Returns the record for a sidecar."""
        return asdict(self)
