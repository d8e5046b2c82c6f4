"""How much an INT8 variant depends on which images it was calibrated with, and on how many."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from calibration.channel_statistics import channel_statistics_from_samples
from calibration.equalization import equalized_from_fp32, tensors_to_measure
from calibration.int8_images import SMALL_BATCH, Int8Images, fitted_images
from calibration.int8_workshop import Int8Workshop
from calibration.loading import BatchReader
from calibration.observation import histograms_from_samples
from calibration.placement import Arithmetic, Choice, placement_from_choices
from calibration.range_choice import RANGE_IMAGES, ranges_by_block_error
from calibration.samples import SampleSet
from calibration.sampling import calibration_sample, split_by_video
from calibration.table import CalibrationTable
from calibration.torch_graph import TorchGraph, torch_device

if TYPE_CHECKING:
    from collections.abc import Mapping

    import onnx

    from calibration.int8_images import LabelledImages
    from export.contract import InputContract

IMAGE_COUNTS = (64, 128, 256, 512, 1024)
SEEDS = (0, 1, 2)


@dataclass(frozen=True)
class StabilityPoint:
    """A variant with the same layers in INT8, calibrated anew.

    Attributes:
        images: Calibration images.
        seed: Seed of their choice.
        sqnr_db: Logit SQNR on the judging images, which are the same for every point.
    """

    images: int
    seed: int
    sqnr_db: float

    def to_dict(self) -> dict[str, Any]:
        """Returns the point for a JSON file."""
        return asdict(self)


def sampled_sets(pool: SampleSet) -> tuple[tuple[int, SampleSet], ...]:
    """Draws the sets to calibrate with, each with its seed; a pool that is too small is itself the largest set."""
    size = len(pool.samples)
    counts = [count for count in IMAGE_COUNTS if count < size]
    drawn = [(seed, calibration_sample(pool, count, seed)) for count in counts for seed in SEEDS]
    return (*drawn, (0, pool)) if len(counts) < len(IMAGE_COUNTS) else tuple(drawn)


def stability_point(
    fp32: onnx.ModelProto,
    choices: Mapping[str, Choice],
    samples: SampleSet,
    judging: LabelledImages,
    contract: InputContract,
    seed: int,
) -> StabilityPoint:
    """Equalizes, calibrates and repairs with one set of images and judges the result.

    Args:
        fp32: The exported graph.
        choices: Layer -> arithmetic, as it was settled for the variant.
        samples: Images to calibrate with.
        judging: Images of other videos.
        contract: The network's input.
        seed: Seed that the images were drawn with.
    """
    quantized = [name for name, choice in choices.items() if choice.arithmetic is Arithmetic.INT8]
    observed, choosing = split_by_video(samples)
    reader = BatchReader(observed, contract, SMALL_BATCH)
    tensors = tensors_to_measure(fp32.graph, quantized)
    statistics = channel_statistics_from_samples(TorchGraph(fp32, torch_device()), tensors, reader)
    model, _ = equalized_from_fp32(fp32, statistics, quantized)
    placement = placement_from_choices(model.graph, choices, residual=False)
    histograms, count = histograms_from_samples(model, placement.tensors, reader)
    images = fitted_images(samples, contract)
    graph = TorchGraph(model, torch_device())
    batches = fitted_images(SampleSet(samples.root, choosing or observed), contract).first(RANGE_IMAGES)
    ranges = ranges_by_block_error(graph, placement.activations, histograms, batches)
    table = CalibrationTable(ranges, "", samples.sha256, count)
    workshop = Int8Workshop(fp32, statistics, quantized, table, Int8Images(images, judging), contract.size)
    logits = workshop.simulated_logits(placement, workshop.repaired(placement))
    return StabilityPoint(len(samples.samples), seed, workshop.verdict_of_logits(logits).sqnr_db)
