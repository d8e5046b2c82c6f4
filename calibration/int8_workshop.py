"""An equalized FP32 graph with everything that making an INT8 variant of it asks for again and again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.stats import mannwhitneyu

from calibration.bias_correction import sequential_corrections
from calibration.equalization import equalized_from_fp32
from calibration.fake_quantization import FakeQuantizer, with_added_biases
from calibration.int8_from_table import int8_from_fp32
from calibration.int8_record import RepairRecord
from calibration.layer_groups import groups_from_graph
from calibration.layers import layers_from_graph
from calibration.logit_alignment import Alignment, aligned, fitted_alignment, with_corrected_biases
from calibration.logit_noise import sqnr_db, within_class_variance
from calibration.qdq_lint import require_valid_qdq
from calibration.torch_graph import TorchGraph
from export.half_precision import fp16_from_fp32
from export.runners import OnnxRunner

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    import onnx
    from numpy.typing import NDArray

    from calibration.channel_statistics import ChannelStatistics
    from calibration.equalization import EqualizedTensor
    from calibration.int8_images import Int8Images, LabelledImages
    from calibration.placement import Placement
    from calibration.table import CalibrationTable
    from calibration.torch_graph import Overrides


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
    """A variant after its repairs, as the search computes it.

    Attributes:
        overrides: What it rounds, and the biases that were kept.
        corrections: Layer -> what is added to its bias; empty if that does not help.
        alignment: What the logit goes through.
        steps: What was tried.
    """

    overrides: Overrides
    corrections: dict[str, NDArray[np.float32]]
    alignment: Alignment
    steps: tuple[RepairRecord, ...]


class Int8Workshop:
    """One FP32 graph and the images to fit and judge its INT8 variants with.

    Args:
        fp32: The exported graph.
        statistics: Its channels; None leaves it unequalized.
        quantized: Layers that may become INT8; the inputs of others are not equalized.
        table: Ranges of every tensor that may be rounded.
        images: Calibration images.
        size: Height and width of the network's input, in pixels.

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
    ) -> None:
        self.model = fp32
        self.equalized: tuple[EqualizedTensor, ...] = ()
        if statistics is not None:
            self.model, self.equalized = equalized_from_fp32(fp32, statistics, quantized)
        self.graph = TorchGraph(self.model, torch_device())
        self.layers = layers_from_graph(self.model.graph)
        self.groups = groups_from_graph(self.model, self.graph, size)
        self.images = images
        self.quantizer = FakeQuantizer(self.graph)
        self._fp32, self._statistics = fp32, statistics
        self._table = table
        self._size = size

    def narrowed(self, quantized: Collection[str]) -> Int8Workshop:
        """Returns a workshop whose graph has no operators for inputs of layers that do not become INT8 after all."""
        return Int8Workshop(self._fp32, self._statistics, quantized, self._table, self.images, self._size)

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
        nodes = {node.name: node for node in self.model.graph.node}
        inputs = {layer.name: list(nodes[layer.name].input) for layer in self.layers}
        return {name: names[2] for name, names in inputs.items() if len(names) > 2}

    @cached_property
    def fitted_logits(self) -> NDArray[np.float64]:
        """FP32 logits of the images to fit to."""
        return self.logits(self.images.fitted)

    @cached_property
    def judging_logits(self) -> NDArray[np.float64]:
        """FP32 logits of the images that judge."""
        return self.logits(self.images.judging)

    @cached_property
    def signal_variance(self) -> float:
        """Within-class variance of the FP32 logit, over all images."""
        return within_class_variance(*self.all_logits)

    @cached_property
    def all_logits(self) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """FP32 logits of all images, and their labels."""
        labels = np.concatenate([self.images.fitted.is_fake, self.images.judging.is_fake])
        return np.concatenate([self.fitted_logits, self.judging_logits]), labels

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
        """Corrects biases and aligns the logit; a step that does not raise the judging images' SQNR is dropped."""
        rounding = self.quantizer.overrides(placement, self.amax)
        chosen = {layer.name for layer in (*placement.layers, *placement.weight_only)} & self.biases.keys()
        layers = [layer for layer in self.layers if layer.name in chosen]
        corrections = sequential_corrections(self.graph, rounding, layers, self.biases, self.images.fitted.batches)
        corrected = {**rounding, **with_added_biases(self.graph, corrections, self.biases)}
        before = self._judged(self.logits(self.images.judging, rounding))
        after = self._judged(self.logits(self.images.judging, corrected))
        steps = [RepairRecord("bias correction, layer after layer", before, after, after > before)]
        overrides = corrected if steps[0].kept else rounding
        alignment = fitted_alignment(self.logits(self.images.fitted, overrides), self.fitted_logits)
        plain = self.logits(self.images.judging, overrides)
        before, after = self._judged(plain), self._judged(alignment.scale * plain + alignment.offset)
        steps.append(RepairRecord("alignment of the logit, in the classifier", before, after, after > before))
        kept = {name: value.cpu().numpy() for name, value in corrections.items()} if steps[0].kept else {}
        return Repaired(overrides, kept, alignment if steps[1].kept else Alignment(1.0, 0.0), tuple(steps))

    def unrepaired(self, placement: Placement) -> Repaired:
        """Returns a variant as it is without repairs."""
        return Repaired(self.quantizer.overrides(placement, self.amax), {}, Alignment(1.0, 0.0), ())

    def written(self, placement: Placement, repaired: Repaired) -> onnx.ModelProto:
        """Returns the variant's graph: explicit Q/DQ pairs, FP16 around them.

        Raises:
            QuantizationError: TensorRT would refuse or misread it.
        """
        model = with_corrected_biases(self.model, repaired.corrections, self.biases)
        if repaired.alignment != Alignment(1.0, 0.0):
            model = aligned(model, repaired.alignment)
        written = fp16_from_fp32(int8_from_fp32(model, self._table, placement, self._table.onnx_sha256))
        require_valid_qdq(written)
        return written

    def aligned_as_written(
        self, placement: Placement, repaired: Repaired, written: onnx.ModelProto
    ) -> tuple[Repaired, onnx.ModelProto]:
        """Aligns the written graph, too, whose FP16 biases move the logit a little; kept only if that helps."""
        with OnnxRunner(written) as runner:
            fitted, judging = (
                np.concatenate([runner.infer(batch.numpy()) for batch in images.batches]).astype(np.float64)
                for images in (self.images.fitted, self.images.judging)
            )
        found = fitted_alignment(fitted, self.fitted_logits)
        before, after = self._judged(judging), self._judged(found.scale * judging + found.offset)
        steps = (*repaired.steps, RepairRecord("alignment of the written graph", before, after, after > before))
        if not steps[-1].kept:
            return replace(repaired, steps=steps), written
        both = Alignment(found.scale * repaired.alignment.scale, found.scale * repaired.alignment.offset + found.offset)
        realigned = replace(repaired, alignment=both, steps=steps)
        return realigned, self.written(placement, realigned)

    def simulated_logits(self, repaired: Repaired) -> NDArray[np.float64]:
        """Returns the judging images' logits of a repaired variant as the search computes them."""
        plain = self.logits(self.images.judging, repaired.overrides)
        return repaired.alignment.scale * plain + repaired.alignment.offset

    def verdict(self, written: onnx.ModelProto) -> Verdict:
        """Runs the written graph in ONNX Runtime on the judging images."""
        with OnnxRunner(written) as runner:
            logits = np.concatenate([runner.infer(batch.numpy()) for batch in self.images.judging.batches])
        return self.verdict_of_logits(logits.astype(np.float64))

    def verdict_of_logits(self, logits: NDArray[np.float64]) -> Verdict:
        """Compares logits of the judging images with FP32's."""
        return verdict_from_logits(logits, self.judging_logits, self.images.judging.is_fake, self.signal_variance)

    def _judged(self, logits: NDArray[np.float64]) -> float:
        return sqnr_db(self.signal_variance, logits - self.judging_logits)


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


def torch_device() -> torch.device:
    """Returns the GPU if PyTorch sees one, the CPU otherwise."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
