"""An equalized FP32 graph with everything that making an INT8 variant of it asks for again and again."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.stats import mannwhitneyu

from calibration.bias_correction import sequential_corrections
from calibration.equalization import equalized_from_fp32
from calibration.fake_quantization import FakeQuantizer, with_added_biases
from calibration.int8_from_table import int8_from_fp32, without_inferred_shapes
from calibration.int8_images import costly_pass_image_count
from calibration.int8_record import RepairRecord
from calibration.layer_groups import groups_from_graph
from calibration.layer_inputs import geometry_from_node
from calibration.layers import biases_from_graph, layers_from_graph
from calibration.logit_alignment import IDENTITY, Alignment, aligned, fitted_alignment, with_corrected_biases
from calibration.logit_noise import sqnr_db, within_class_variance
from calibration.qdq_lint import require_valid_qdq
from calibration.reconstruction import reconstructed
from calibration.torch_graph import TorchGraph, torch_device
from export.half_precision import fp16_from_fp32
from export.runners import OnnxRunner

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    import onnx
    from numpy.typing import NDArray

    from calibration.channel_statistics import ChannelStatistics
    from calibration.equalization import EqualizedTensor
    from calibration.int8_from_table import Int8Weight
    from calibration.int8_images import Int8Images, LabelledImages
    from calibration.layer_inputs import LayerGeometry
    from calibration.placement import Placement
    from calibration.table import CalibrationTable
    from calibration.torch_graph import Overrides

    Logits = NDArray[np.float64]

_RECONSTRUCTION = "reconstruction of weights, layer after layer"
_BIAS_CORRECTION = "bias correction, layer after layer"
_ALIGNMENT = "alignment of the logit, in the classifier"


@dataclass(frozen=True)
class Verdict:
    """How close a variant's graph is to FP32 on the judging images.

    Attributes:
        sqnr_db: Logit SQNR.
        flipped: Decisions at logit 0 that differ.
        auc_difference: AUC minus FP32's, per image.
    """

    sqnr_db: float
    flipped: int
    auc_difference: float


@dataclass(frozen=True)
class Repaired:
    """The repairs of a variant.

    Attributes:
        weights: Layer -> its reconstructed weight; others are rounded to the nearest.
        corrections: Layer -> what is added to its bias, float32 (outputs,).
        alignment: What the logit goes through.
        steps: What was tried.
    """

    weights: dict[str, Int8Weight] = field(default_factory=dict)
    corrections: dict[str, torch.Tensor] = field(default_factory=dict)
    alignment: Alignment = IDENTITY
    steps: tuple[RepairRecord, ...] = ()


@dataclass(frozen=True)
class FloatLogits:
    """FP32 logits, float64 (N,), of the images to fit to and of those that judge."""

    fitted: NDArray[np.float64]
    judging: NDArray[np.float64]


class Int8Workshop:
    """One FP32 graph and the images to fit and judge its INT8 variants with.

    Args:
        fp32: The exported graph.
        statistics: Its channels; None leaves it unequalized.
        quantized: Layers that may become INT8; the inputs of others are not equalized.
        table: Ranges of every tensor that may be rounded.
        images: Calibration images.
        size: Height and width of the network's input, in pixels.
        reference: FP32 logits of the images; None has them computed.

    Attributes:
        model: The equalized graph.
        equalized: What equalization did.
        graph: The same in PyTorch, on a GPU if there is one.
        layers: Its layers.
        groups: Its layers, grouped.
        images: As given.
        quantizer: Rounds.
    """

    def __init__(
        self,
        fp32: onnx.ModelProto,
        statistics: Mapping[str, ChannelStatistics] | None,
        quantized: Collection[str],
        table: CalibrationTable,
        images: Int8Images,
        size: int,
        reference: FloatLogits | None = None,
    ) -> None:
        self.model = fp32
        self.equalized: tuple[EqualizedTensor, ...] = ()
        if statistics is not None:
            self.model, self.equalized = equalized_from_fp32(fp32, statistics, quantized)
        self.graph = TorchGraph(self.model, torch_device())
        self.layers = layers_from_graph(self.model.graph)
        self.groups = groups_from_graph(self.model)
        self.images = images
        self.quantizer = FakeQuantizer(self.graph)
        self._fp32, self._statistics = fp32, statistics
        self._table = table
        self._size = size
        self._reference = reference

    def narrowed(self, quantized: Collection[str]) -> Int8Workshop:
        """Returns a workshop whose graph has no operators for inputs of layers that do not become INT8 after all."""
        return Int8Workshop(
            self._fp32, self._statistics, quantized, self._table, self.images, self._size, self.reference
        )

    @property
    def amax(self) -> dict[str, float]:
        """Tensor -> its range."""
        return {tensor: entry.amax for tensor, entry in self._table.ranges.items()}

    @property
    def range_methods(self) -> dict[str, str]:
        """Tensor -> the estimator of its range."""
        return {tensor: entry.method for tensor, entry in self._table.ranges.items()}

    @cached_property
    def biases(self) -> dict[str, str]:
        """Layer -> its bias initializer, for every layer that has one."""
        return biases_from_graph(self.model.graph)

    @cached_property
    def geometries(self) -> dict[str, LayerGeometry]:
        """Layer -> how it reads its input."""
        nodes = {node.name: node for node in self.model.graph.node}
        return {layer.name: geometry_from_node(nodes[layer.name], layer) for layer in self.layers}

    @cached_property
    def reference(self) -> FloatLogits:
        """FP32 logits of the images."""
        return self._reference or FloatLogits(self.logits(self.images.fitted), self.logits(self.images.judging))

    @cached_property
    def signal_variance(self) -> float:
        """Within-class variance of the FP32 logit, over all images."""
        return within_class_variance(*self.all_logits)

    @cached_property
    def all_logits(self) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """FP32 logits of all images, and their labels."""
        labels = np.concatenate([self.images.fitted.is_fake, self.images.judging.is_fake])
        return np.concatenate([self.reference.fitted, self.reference.judging]), labels

    @cached_property
    def float_bytes(self) -> int:
        """Size of the graph's FP16 file."""
        return int(fp16_from_fp32(self.model).ByteSize())

    def logits(self, images: LabelledImages, overrides: Overrides | None = None) -> NDArray[np.float64]:
        """Returns the logits (N,) of images under replacements."""
        parts = [self.graph.logits(batch.to(self.graph.device), overrides) for batch in images.batches]
        values: NDArray[np.float64] = torch.cat(parts).double().cpu().numpy()
        return values

    def repaired(self, placement: Placement) -> Repaired:
        """Reconstructs weights, or corrects biases where that does not help, and aligns the logit.

        A step that does not raise the SQNR of the judging images is dropped.
        """
        stored = {layer.name for layer in (*placement.layers, *placement.weight_only)} & self.biases.keys()
        layers = [layer for layer in self.layers if layer.name in stored]
        rounding = self.overrides(placement, Repaired())
        before = self._judged(self.logits(self.images.judging, rounding))
        fitting = self.images.fitted.batches
        few = self.images.fitted.first(costly_pass_image_count(self._size))
        found = reconstructed(self.graph, rounding, layers, self.geometries, self.biases, few)
        repaired = self._kept(
            placement, Repaired(), Repaired(found.weights, found.corrections), before, _RECONSTRUCTION
        )
        if not repaired.steps[-1].kept:
            corrections = sequential_corrections(self.graph, rounding, layers, self.biases, fitting)
            corrected = replace(repaired, corrections=corrections)
            repaired = self._kept(placement, repaired, corrected, before, _BIAS_CORRECTION)
        before = repaired.steps[-1].sqnr_after_db if repaired.steps[-1].kept else before
        alignment = fitted_alignment(
            self.logits(self.images.fitted, self.overrides(placement, repaired)), self.reference.fitted
        )
        return self._kept(placement, repaired, replace(repaired, alignment=alignment), before, _ALIGNMENT)

    def overrides(self, placement: Placement, repaired: Repaired) -> Overrides:
        """Returns what a variant replaces in the FP32 graph: all that it rounds, and its repairs but the alignment."""
        return {
            **self.quantizer.overrides(placement, self.amax, repaired.weights),
            **with_added_biases(self.graph, repaired.corrections, self.biases),
        }

    def written(self, placement: Placement, repaired: Repaired) -> onnx.ModelProto:
        """Returns the variant's graph: explicit Q/DQ pairs, FP16 around them.

        Raises:
            QuantizationError: TensorRT would refuse or misread it.
        """
        corrections = {name: added.cpu().numpy() for name, added in repaired.corrections.items()}
        model = with_corrected_biases(self.model, corrections, self.biases)
        if repaired.alignment != IDENTITY:
            model = aligned(model, repaired.alignment)
        model = int8_from_fp32(model, self._table, placement, self._table.onnx_sha256, repaired.weights)
        written = fp16_from_fp32(model)
        require_valid_qdq(written)
        return without_inferred_shapes(written)

    def aligned_as_written(
        self, placement: Placement, repaired: Repaired, written: onnx.ModelProto
    ) -> tuple[Repaired, onnx.ModelProto]:
        """Aligns the written graph, too, whose FP16 biases move the logit a little; kept only if that helps."""
        with OnnxRunner(written) as runner:
            fitted, judging = (
                np.concatenate([runner.infer(batch.numpy()) for batch in images.batches]).astype(np.float64)
                for images in (self.images.fitted, self.images.judging)
            )
        found = fitted_alignment(fitted, self.reference.fitted)
        before, after = self._judged(judging), self._judged(found.of(judging))
        steps = (*repaired.steps, RepairRecord("alignment of the written graph", before, after, after > before))
        if not steps[-1].kept:
            return replace(repaired, steps=steps), written
        realigned = replace(repaired, alignment=repaired.alignment.then(found), steps=steps)
        return realigned, self.written(placement, realigned)

    def simulated_logits(self, placement: Placement, repaired: Repaired, without: Collection[str] = ()) -> Logits:
        """Returns the judging images' logits of a variant as the search computes them.

        Args:
            placement: What the variant rounds.
            repaired: Its repairs.
            without: Layers that are put back to floating point.
        """
        overrides = self.overrides(placement, repaired)
        kept = {key: value for key, value in overrides.items() if key[0] not in without}
        return repaired.alignment.of(self.logits(self.images.judging, kept))

    def verdict(self, written: onnx.ModelProto) -> Verdict:
        """Runs the written graph in ONNX Runtime on the judging images."""
        with OnnxRunner(written) as runner:
            logits = np.concatenate([runner.infer(batch.numpy()) for batch in self.images.judging.batches])
        return self.verdict_of_logits(logits.astype(np.float64))

    def verdict_of_logits(self, logits: NDArray[np.float64]) -> Verdict:
        """Compares logits of the judging images with FP32's."""
        return verdict_from_logits(logits, self.reference.judging, self.images.judging.is_fake, self.signal_variance)

    def _kept(self, placement: Placement, plain: Repaired, repaired: Repaired, before: float, step: str) -> Repaired:
        """Returns the better of a variant with and without a repair, with the record of the comparison."""
        after = self._judged(self.simulated_logits(placement, repaired))
        record = RepairRecord(step, before, after, after > before)
        return replace(repaired if record.kept else plain, steps=(*plain.steps, record))

    def _judged(self, logits: NDArray[np.float64]) -> float:
        return sqnr_db(self.signal_variance, logits - self.reference.judging)


def verdict_from_logits(
    logits: NDArray[np.float64],
    reference: NDArray[np.float64],
    is_fake: NDArray[np.bool_],
    signal_variance: float,
) -> Verdict:
    """Compares logits (N,) with FP32's, on images of known class."""
    return Verdict(
        sqnr_db=sqnr_db(signal_variance, logits - reference),
        flipped=int(np.sum((logits >= 0) != (reference >= 0))),
        auc_difference=image_auc(logits, is_fake) - image_auc(reference, is_fake),
    )


def image_auc(logits: NDArray[np.float64], is_fake: NDArray[np.bool_]) -> float:
    """Returns the AUC of images, by SciPy's Mann-Whitney statistic; 0.5 if one class is missing."""
    if np.all(is_fake) or not np.any(is_fake):
        return 0.5
    return float(mannwhitneyu(logits[is_fake], logits[~is_fake]).statistic) / int(is_fake.sum() * (~is_fake).sum())
