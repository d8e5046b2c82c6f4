"""The stages from a checkpoint to an engine; each makes one artifact and is reused when nothing it needs changed."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from safetensors.torch import save as serialized_weights

from calibration.int8_from_table import int8_from_fp32
from calibration.loading import BatchReader
from calibration.observation import table_from_samples
from calibration.placement import PlacementPolicy, placement_from_graph
from calibration.qdq_lint import require_valid_qdq
from calibration.table import CalibrationTable
from export.checkpoint import Detector, detector_from_checkpoint
from export.errors import DataError
from export.half_precision import fp16_from_fp32
from export.onnx_from_torch import OPSET, onnx_from_torch
from export.parity import FP16_TOLERANCE, FP32_TOLERANCE, check_fp16_range, check_parity
from export.pruning import pruned_from_dense
from export.runners import OnnxRunner, TorchRunner
from export.sidecar import Recipe
from export.variant import Precision, Variant, name_from_parts
from export.versions import versions_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from calibration.ranges import Method
    from calibration.samples import Sample, SampleSet
    from engines.backend import Backend, BuildOptions
    from engines.run_folder import RunFolder
    from engines.store import ArtifactStore
    from export.contract import ModelContract
    from export.sidecar import Artifact

PARITY_IMAGES = 16
HELD_BACK_SHARE = 4
_BYTES_PER_WEIGHT = {Precision.FP32: 4.0, Precision.FP16: 2.0, Precision.INT8: 1.25}


@dataclass(frozen=True)
class CalibrationSettings:
    """How activation ranges are found.

    Attributes:
        method: `mse`, `percentile`, `entropy` or `minmax`.
        policy: Which layers are quantized.
        batch_size: Images per run of the network.
    """

    method: Method = "mse"
    policy: PlacementPolicy = field(default_factory=PlacementPolicy)
    batch_size: int = 8


class Stages:
    """Makes what variants need; stages shared by several variants are made once.

    Args:
        run: The run folder.
        store: Makes and reuses artifacts.
        checkpoint: The trained detector.
        contract: What `model.toml` declares about it.
        samples: The sampled calibration set, or None if there is none.
        settings: How to calibrate.
    """

    def __init__(
        self,
        run: RunFolder,
        store: ArtifactStore,
        checkpoint: Path,
        contract: ModelContract,
        samples: SampleSet | None,
        settings: CalibrationSettings,
    ) -> None:
        self._run = run
        self._store = store
        self._checkpoint = checkpoint
        self._contract = contract
        self._samples = samples
        self._settings = settings

    @cached_property
    def dense(self) -> Detector:
        """The detector of the checkpoint."""
        return detector_from_checkpoint(self._checkpoint, self._contract)

    def engine(self, variant: Variant, backend: Backend, options: BuildOptions) -> Artifact:
        """Builds a variant's engine for one backend."""
        graph = self.graph(variant)
        recipe = Recipe(
            "engine",
            {"onnx": graph.sha256},
            {"backend": dict(backend.versions()), **backend.options_that_matter(options)},
        )
        onnx_bytes = graph.size_bytes if graph.path.is_file() else self._expected_bytes(variant.precision)
        return self._store.obtain(
            self._run.engine(variant.name, backend.name, backend.suffix),
            recipe,
            lambda path: backend.build(graph.path, path, options),
            backend.expected_bytes(onnx_bytes),
        )

    def graph(self, variant: Variant) -> Artifact:
        """Exports a variant's ONNX graph."""
        stage: Callable[[int], Artifact] = {
            Precision.FP32: self.fp32_graph,
            Precision.FP16: self.fp16_graph,
            Precision.INT8: self.int8_graph,
        }[variant.precision]
        return stage(variant.sparsity_percent)

    def pruned_weights(self, percent: int) -> Artifact:
        """Prunes the dense detector by NNCF and stores its weights."""
        samples = self._calibration_samples(f"pruning to {percent} %")
        recipe = Recipe(
            "weights",
            {"checkpoint": self.dense.sha256, "calibration": samples.sha256},
            {"percent": percent, **versions_of("nncf", "torch", "timm")},
        )

        def write(path: Path) -> Mapping[str, Any]:
            adaptation, held_back = _split_by_video(samples)
            detector, facts = pruned_from_dense(self.dense, percent, self._images(adaptation), self._images(held_back))
            path.write_bytes(serialized_weights(detector.module.state_dict()))
            return {"pruning": facts.to_dict()}

        return self._store.obtain(
            self._run.model(f"p{percent:02d}"), recipe, write, self._expected_bytes(Precision.FP32)
        )

    def fp32_graph(self, percent: int) -> Artifact:
        """Exports the source model and compares it with PyTorch."""
        weights = self.pruned_weights(percent).sha256 if percent else self.dense.sha256
        recipe = Recipe(
            "onnx",
            {"weights": weights},
            {
                "precision": Precision.FP32.value,
                "opset": OPSET,
                **versions_of("torch", "timm", "onnx", "onnxscript"),
            },
        )

        def write(path: Path) -> Mapping[str, Any]:
            detector = self.source(percent)
            model = onnx_from_torch(detector)
            onnx.save(model, path)
            parity = check_parity(
                TorchRunner(detector.module),
                OnnxRunner(path),
                self._probe_images,
                FP32_TOLERANCE,
                f"exporting {path.stem}",
            )
            return {"parity": parity.to_dict(), "parameters": detector.parameter_count}

        return self._obtain_graph(Precision.FP32, percent, recipe, write)

    def fp16_graph(self, percent: int) -> Artifact:
        """Converts the FP32 graph and compares the two."""
        fp32 = self.fp32_graph(percent)
        recipe = Recipe("onnx", {"fp32": fp32.sha256}, {"precision": Precision.FP16.value, **versions_of("onnx")})

        def write(path: Path) -> Mapping[str, Any]:
            model = onnx.load(fp32.path)
            peak = check_fp16_range(model, self._probe_images)
            onnx.save(fp16_from_fp32(model), path)
            parity = check_parity(
                OnnxRunner(fp32.path), OnnxRunner(path), self._probe_images, FP16_TOLERANCE, "conversion to FP16"
            )
            return {"parity": parity.to_dict(), "largest_activation": peak}

        return self._obtain_graph(Precision.FP16, percent, recipe, write)

    def calibration_table(self, percent: int) -> Artifact:
        """Observes the FP32 graph on the calibration set."""
        fp32 = self.fp32_graph(percent)
        samples = self._calibration_samples("INT8")
        settings = self._settings
        recipe = Recipe(
            "calibration-table",
            {"fp32": fp32.sha256, "calibration": samples.sha256},
            {"method": settings.method, "policy": settings.policy.to_dict(), **versions_of("onnxruntime", "numpy")},
        )

        def write(path: Path) -> Mapping[str, Any]:
            model = onnx.load(fp32.path)
            placement = placement_from_graph(model.graph, settings.policy)
            reader = self._reader(samples.samples)
            table = table_from_samples(model, placement, reader, settings.method, fp32.sha256, samples.sha256)
            path.write_text(table.to_json(), encoding="utf-8")
            return {"images": table.image_count}

        path = self._run.calibration_table(name_from_parts(Precision.FP32, percent))
        return self._store.obtain(path, recipe, write, 20_000)

    def int8_graph(self, percent: int) -> Artifact:
        """Quantizes the FP32 graph with explicit Q/DQ; what stays float becomes FP16."""
        fp32 = self.fp32_graph(percent)
        table_file = self.calibration_table(percent)
        policy = self._settings.policy
        recipe = Recipe(
            "onnx",
            {"fp32": fp32.sha256, "table": table_file.sha256},
            {"precision": Precision.INT8.value, "policy": policy.to_dict(), **versions_of("onnx", "numpy")},
        )

        def write(path: Path) -> Mapping[str, Any]:
            model = onnx.load(fp32.path)
            placement = placement_from_graph(model.graph, policy)
            table = CalibrationTable.from_json(table_file.path.read_text(encoding="utf-8"))
            quantized = fp16_from_fp32(int8_from_fp32(model, table, placement, fp32.sha256))
            require_valid_qdq(quantized)
            onnx.save(quantized, path)
            return {"placement": placement.to_dict(), "logit_sqnr_db": self._logit_sqnr_db(fp32.path, path)}

        return self._obtain_graph(Precision.INT8, percent, recipe, write)

    def source(self, percent: int) -> Detector:
        """Returns the PyTorch model that a variant is exported from."""
        if not percent:
            return self.dense
        return detector_from_checkpoint(self.pruned_weights(percent).path, self.dense.contract)

    def _obtain_graph(
        self, precision: Precision, percent: int, recipe: Recipe, write: Callable[[Path], Mapping[str, Any]]
    ) -> Artifact:
        path = self._run.onnx(name_from_parts(precision, percent))
        return self._store.obtain(path, recipe, write, self._expected_bytes(precision))

    def _expected_bytes(self, precision: Precision) -> int:
        return int(_BYTES_PER_WEIGHT[precision] * self.dense.parameter_count) + 600_000

    def _calibration_samples(self, purpose: str) -> SampleSet:
        if self._samples is None:
            raise DataError(f"{purpose} needs calibration images; pass --calibration DATA")
        return self._samples

    def _reader(self, samples: tuple[Sample, ...]) -> BatchReader:
        return BatchReader(samples, self.dense.contract.input, self._settings.batch_size)

    def _images(self, samples: tuple[Sample, ...]) -> _ImageBatches:
        return _ImageBatches(self._reader(samples))

    @cached_property
    def _probe_images(self) -> NDArray[np.float32]:
        """Images for parity: calibration faces where there are some, seeded noise otherwise.

        Two representations of one network must agree on any input, so noise is a fair, if unkind, judge.
        """
        contract = self.dense.contract.input
        if self._samples is None:
            noise = np.random.default_rng(0).standard_normal((PARITY_IMAGES, 3, contract.size, contract.size))
            return noise.astype(np.float32)
        spread = self._samples.samples[:: max(1, len(self._samples.samples) // PARITY_IMAGES)][:PARITY_IMAGES]
        return np.concatenate(list(self._images(spread)))

    def _logit_sqnr_db(self, reference: Path, candidate: Path) -> float:
        """Signal-to-quantization-noise ratio of the logit over the parity images, in dB."""
        with OnnxRunner(reference) as fp32, OnnxRunner(candidate) as int8:
            expected = fp32.infer(self._probe_images).astype(np.float64)
            noise = int8.infer(self._probe_images).astype(np.float64) - expected
        return float(10 * np.log10(max(expected.var(), 1e-12) / max(float(np.mean(noise**2)), 1e-12)))


class _ImageBatches:
    """Iterates over the images of a reader as often as asked, without their samples."""

    def __init__(self, reader: BatchReader) -> None:
        self._reader = reader

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        for batch in self._reader:
            yield batch.images


def _split_by_video(samples: SampleSet) -> tuple[tuple[Sample, ...], tuple[Sample, ...]]:
    """Holds back the images of every fourth video of each class."""
    held_back = set()
    for is_fake in (False, True):
        videos = sorted({sample.video for sample in samples.samples if sample.is_fake == is_fake})
        held_back.update(videos[HELD_BACK_SHARE - 1 :: HELD_BACK_SHARE])
    return (
        tuple(sample for sample in samples.samples if sample.video not in held_back),
        tuple(sample for sample in samples.samples if sample.video in held_back),
    )
