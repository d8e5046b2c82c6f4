"""The stages from a checkpoint to an engine; each makes one artifact and is reused when nothing it needs changed."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from safetensors.torch import save as serialized_weights

from calibration.int8_images import image_warnings, int8_images_from_samples
from calibration.loading import BatchReader
from calibration.quantizable import require_quantizable
from engines.download import download_bytes
from engines.int8_stages import Int8Stages
from export.checkpoint import Detector, detector_from_checkpoint
from export.errors import DataError
from export.half_precision import fp16_from_fp32
from export.onnx_from_torch import OPSET, onnx_from_torch
from export.parity import FP16_TOLERANCE, FP32_TOLERANCE, check_fp16_range, check_parity
from export.runners import OnnxRunner, TorchRunner
from export.sidecar import Recipe
from export.uint8_input import with_uint8_input
from export.variant import Precision, Pruning, PruningKind, Variant, name_from_parts
from export.versions import versions_of
from pruning.making import PruningWorkshop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from calibration.int8_recipe import Int8Recipe
    from calibration.samples import Sample, SampleSet
    from engines.backend import Backend, BuildOptions
    from engines.run_folder import RunFolder
    from engines.store import ArtifactStore
    from export.contract import InputContract, InputForm, ModelContract
    from export.sidecar import Artifact
    from pruning.recipe import PruningRecipe

PARITY_IMAGES = 16
_BATCH_SIZE = 8
_BYTES_PER_WEIGHT = {Precision.FP32: 4.0, Precision.FP16: 2.0, Precision.INT8: 1.02, Precision.INT8_WEIGHTS: 1.02}


@dataclass(frozen=True)
class StageInputs:
    """What every variant is made from.

    Attributes:
        checkpoint: The trained detector.
        contract: What `model.toml` declares about it.
        samples: The sampled calibration set, or None if there is none.
    """

    checkpoint: Path
    contract: ModelContract
    samples: SampleSet | None


class Stages:
    """Makes what variants need; stages shared by several variants are made once.

    Args:
        run: The run folder.
        store: Makes and reuses artifacts.
        inputs: Detector and calibration set.
        int8_recipe: How to make INT8 variants.
        pruning_recipe: How to prune.
    """

    def __init__(
        self,
        run: RunFolder,
        store: ArtifactStore,
        inputs: StageInputs,
        int8_recipe: Int8Recipe,
        pruning_recipe: PruningRecipe,
    ) -> None:
        self._run = run
        self._store = store
        self._inputs = inputs
        self._int8_recipe = int8_recipe
        self._pruning_recipe = pruning_recipe

    @cached_property
    def dense(self) -> Detector:
        """The detector of the checkpoint."""
        return detector_from_checkpoint(self._inputs.checkpoint, self._inputs.contract)

    def engine(self, variant: Variant, backend: Backend, options: BuildOptions) -> Artifact:
        """Builds a variant's engine for one backend."""
        graph = self.graph(variant)
        if variant.pruning and variant.pruning.kind is PruningKind.TWO_OF_FOUR:
            options = replace(options, sparse_weights=True)
        recipe = Recipe(
            "engine",
            {"onnx": graph.sha256},
            {
                "backend": dict(backend.versions()),
                "device": dict(backend.build_device()),
                "input_form": options.input_form,
                **backend.options_that_matter(options),
            },
        )
        expected = self._expected_bytes(variant.precision, variant.pruning)
        onnx_bytes = graph.size_bytes if graph.path.is_file() else expected
        return self._store.obtain(
            self._run.engine(variant.name, backend.name, backend.suffix),
            recipe,
            lambda path: _built_engine(backend, graph.path, path, options, self._inputs.contract.input),
            backend.expected_bytes(onnx_bytes),
        )

    def graph(self, variant: Variant) -> Artifact:
        """Exports a variant's ONNX graph."""
        stage: Callable[[Pruning | None], Artifact] = {
            Precision.FP32: self.fp32_graph,
            Precision.FP16: self.fp16_graph,
            Precision.INT8: self.int8_graph,
            Precision.INT8_WEIGHTS: self.weight_only_graph,
        }[variant.precision]
        return stage(variant.pruning)

    def require_prunings(self, prunings: Iterable[Pruning]) -> None:
        """Refuses prunings that the detector does not bear before anything else is made of it.

        Raises:
            DataError: There are no calibration images.
            PruningError: The detector is pruned already, or so much cannot be taken from it.
        """
        for pruning in prunings:
            self._calibration_samples(f"pruning to {pruning.name}")
            if not self._store.dry_run and not self._run.model(pruning.name).is_file():
                self._pruning.require_possible(pruning)

    def require_quantizable(self) -> None:
        """Refuses an INT8 search in a network that it cannot follow, before anything else is made of it.

        Raises:
            QuantizationError: The message names the first node that stands in the way.
        """
        if not self._store.dry_run:
            require_quantizable(onnx.load(self.fp32_graph(None).path))

    def pruned_weights(self, pruning: Pruning) -> Artifact:
        """Prunes the dense detector, repairs it and stores its weights."""
        samples = self._calibration_samples(f"pruning to {pruning.name}")
        dense_graph = self.fp32_graph(None)
        weights = self._run.model(pruning.name)
        resume = weights.with_suffix(".resume.pt")
        recipe = Recipe(
            "weights",
            {"checkpoint": self.dense.sha256, "fp32": dense_graph.sha256, "calibration": samples.sha256},
            {
                "pruning": pruning.name,
                "recipe": self._pruning_recipe.to_dict(),
                **versions_of("nncf", "numpy", "scipy", "torch", "timm"),
            },
        )

        def write(path: Path) -> Mapping[str, Any]:
            detector, record = self._pruning.pruned(pruning, resume, recipe.key)
            path.write_bytes(serialized_weights(detector.module.state_dict()))
            return {"pruning": replace(record, warnings=image_warnings(samples)).to_dict()}

        made = self._store.obtain(weights, recipe, write, self._expected_bytes(Precision.FP32, pruning))
        if not self._store.dry_run:
            resume.unlink(missing_ok=True)
        return made

    def fp32_graph(self, pruning: Pruning | None) -> Artifact:
        """Exports the source model and compares it with PyTorch."""
        weights = self.pruned_weights(pruning).sha256 if pruning else self.dense.sha256
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
            detector = self.source(pruning)
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

        return self._obtain_graph(Precision.FP32, pruning, recipe, write)

    def fp16_graph(self, pruning: Pruning | None) -> Artifact:
        """Converts the FP32 graph and compares the two."""
        fp32 = self.fp32_graph(pruning)
        recipe = Recipe("onnx", {"fp32": fp32.sha256}, {"precision": Precision.FP16.value, **versions_of("onnx")})

        def write(path: Path) -> Mapping[str, Any]:
            model = onnx.load(fp32.path)
            peak = check_fp16_range(model, self._probe_images)
            onnx.save(fp16_from_fp32(model), path)
            parity = check_parity(
                OnnxRunner(fp32.path), OnnxRunner(path), self._probe_images, FP16_TOLERANCE, "conversion to FP16"
            )
            return {"parity": parity.to_dict(), "largest_activation": peak}

        return self._obtain_graph(Precision.FP16, pruning, recipe, write)

    def int8_graph(self, pruning: Pruning | None) -> Artifact:
        """Quantizes the FP32 graph with explicit Q/DQ."""
        return self._int8.graph(self.fp32_graph(pruning), pruning, self._expected_bytes(Precision.INT8, pruning))

    def int8_stability(self, pruning: Pruning | None, pool: SampleSet) -> Artifact:
        """Measures how much the INT8 graph depends on its calibration images."""
        return self._int8.stability(self.fp32_graph(pruning), self.int8_graph(pruning), pruning, pool)

    def weight_only_graph(self, pruning: Pruning | None) -> Artifact:
        """Stores the FP32 graph's weights as INT8."""
        expected = self._expected_bytes(Precision.INT8_WEIGHTS, pruning)
        return self._int8.weight_only_graph(self.fp32_graph(pruning), pruning, expected)

    def source(self, pruning: Pruning | None) -> Detector:
        """Returns the PyTorch model that a variant is exported from."""
        if pruning is None:
            return self.dense
        return detector_from_checkpoint(self.pruned_weights(pruning).path, self.dense.contract, narrowed=True)

    @cached_property
    def _pruning(self) -> PruningWorkshop:
        """Shared by all percentages, so that saliencies are measured once."""
        graph = onnx.load(self.fp32_graph(None).path)
        samples = self._calibration_samples("pruning")
        images = int8_images_from_samples(samples, self.dense.contract.input)
        return PruningWorkshop(self.dense, graph, images, self._pruning_recipe)

    @cached_property
    def _int8(self) -> Int8Stages:
        return Int8Stages(
            self._run,
            self._store,
            self.dense.contract.input,
            self._inputs.samples,
            self._int8_recipe,
        )

    def _obtain_graph(
        self, precision: Precision, pruning: Pruning | None, recipe: Recipe, write: Callable[[Path], Mapping[str, Any]]
    ) -> Artifact:
        path = self._run.onnx(name_from_parts(precision, pruning))
        return self._store.obtain(path, recipe, write, self._expected_bytes(precision, pruning))

    def _expected_bytes(self, precision: Precision, pruning: Pruning | None) -> int:
        # Only removed channels make a file smaller; zeros are stored like any other number.
        left = 1 - pruning.percent / 100 if pruning and pruning.kind is PruningKind.STRUCTURED else 1.0
        return int(_BYTES_PER_WEIGHT[precision] * left * self.dense.parameter_count) + 600_000

    def _calibration_samples(self, purpose: str) -> SampleSet:
        if self._inputs.samples is None:
            raise DataError(f"{purpose} needs calibration images; pass --calibration DATA")
        return self._inputs.samples

    def _reader(self, samples: tuple[Sample, ...]) -> BatchReader:
        return BatchReader(samples, self.dense.contract.input, _BATCH_SIZE)

    def _images(self, samples: tuple[Sample, ...]) -> _ImageBatches:
        return _ImageBatches(self._reader(samples))

    @cached_property
    def _probe_images(self) -> NDArray[np.float32]:
        """Images for parity: calibration faces where there are some, seeded noise otherwise.

        Two representations of one network must agree on any input, so noise is a fair, if unkind, judge.
        """
        contract = self.dense.contract.input
        if self._inputs.samples is None:
            noise = np.random.default_rng(0).standard_normal((PARITY_IMAGES, 3, contract.size, contract.size))
            return noise.astype(np.float32)
        samples = self._inputs.samples.samples
        spread = samples[:: max(1, len(samples) // PARITY_IMAGES)][:PARITY_IMAGES]
        return np.concatenate(list(self._images(spread)))


def _built_engine(
    backend: Backend, graph: Path, engine: Path, options: BuildOptions, contract: InputContract
) -> Mapping[str, Any]:
    with _graph_of_form(graph, engine, options.input_form, contract) as given:
        facts = backend.build(given, engine, options)
    return {**facts, "input": options.input_form, "download_bytes": download_bytes(engine)}


@contextmanager
def _graph_of_form(graph: Path, engine: Path, form: InputForm, contract: InputContract) -> Iterator[Path]:
    """Gives the graph that takes the form of input asked for: the stored one, or one that lives beside the engine."""
    if form == "float32":
        yield graph
        return
    folder = engine.with_name(f".{graph.stem}.{form}")
    shutil.rmtree(folder, ignore_errors=True)  # of a command that was killed
    folder.mkdir()
    try:
        # Backends tell a graph by its file's name.
        onnx.save(with_uint8_input(onnx.load(graph), contract), folder / graph.name)
        yield folder / graph.name
    finally:
        shutil.rmtree(folder)


class _ImageBatches:
    """Iterates over the images of a reader as often as asked, without their samples."""

    def __init__(self, reader: BatchReader) -> None:
        self._reader = reader

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        for batch in self._reader:
            yield np.asarray(batch.images, dtype=np.float32)
