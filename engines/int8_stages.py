"""The stages from an FP32 graph to its INT8 variants; each makes one artifact and is reused like any other."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import onnx

from calibration.channel_statistics import (
    channel_statistics_from_samples,
    read_channel_statistics,
    write_channel_statistics,
)
from calibration.equalization import equalized_from_fp32, tensors_to_measure
from calibration.errors import CalibrationError
from calibration.int8_images import (
    SMALL_BATCH,
    fitted_images,
    image_warnings,
    int8_images_from_samples,
    observed_and_choosing,
)
from calibration.int8_making import make_int8, measure_sensitivity
from calibration.int8_weights import make_weight_only, weight_only_record
from calibration.int8_workshop import Int8Workshop
from calibration.layers import Role, layers_from_graph
from calibration.loading import BatchReader
from calibration.observation import histograms_from_samples
from calibration.placement import (
    Arithmetic,
    Choice,
    Placement,
    choices_from_policy,
    first_match,
    placement_from_choices,
)
from calibration.range_choice import RANGE_IMAGES, ranges_by_block_error
from calibration.samples import SampleSet
from calibration.sampling import split_by_video
from calibration.sensitivity import Measurement
from calibration.stability import sampled_sets, stability_point
from calibration.table import CalibrationTable, table_from_histograms
from calibration.torch_graph import TorchGraph, torch_device
from export.errors import ArtifactError, DataError
from export.progress import progress_bar
from export.sidecar import Recipe, read_json, write_json
from export.variant import Precision, PruningKind, name_from_parts
from export.versions import versions_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from calibration.int8_recipe import Int8Recipe
    from engines.run_folder import RunFolder
    from engines.store import ArtifactStore
    from export.contract import InputContract
    from export.sidecar import Artifact
    from export.variant import Pruning

_CHANNELS_BYTES = 3_000_000
_TABLE_BYTES = 20_000
_SENSITIVITY_BYTES = 400_000
# What a file needs besides weights: nodes, names and scales do not become fewer with the channels.
_GRAPH_MIB = 1.0


def recipe_of_pruned(recipe: Int8Recipe, pruning: Pruning | None) -> Int8Recipe:
    """Returns a recipe whose limit of size, which is that of a dense network, fits one without some of its channels."""
    if pruning is None or pruning.kind is not PruningKind.STRUCTURED:
        return recipe
    shrinking = max(recipe.max_size_mib - _GRAPH_MIB, 0.0)
    return replace(recipe, max_size_mib=recipe.max_size_mib - shrinking * pruning.percent / 100)


class Int8Stages:
    """Makes the INT8 variants of FP32 graphs.

    Args:
        run: The run folder.
        store: Makes and reuses artifacts.
        contract: The network's input.
        samples: The calibration set; None leaves weight-only variants, unmeasured.
        recipe: What was asked for.
    """

    def __init__(
        self,
        run: RunFolder,
        store: ArtifactStore,
        contract: InputContract,
        samples: SampleSet | None,
        recipe: Int8Recipe,
    ) -> None:
        self._run = run
        self._store = store
        self._contract = contract
        self._known_samples = samples
        self._recipe = recipe

    def graph(self, fp32: Artifact, pruning: Pruning | None, expected_bytes: int) -> Artifact:
        """Makes the INT8 graph with explicit Q/DQ; what is not INT8 becomes FP16."""
        name = name_from_parts(Precision.INT8, pruning)
        warnings = image_warnings(self._samples())  # first, because what is wrong is told before minutes of work
        parents = {"fp32": fp32, **self._measured(fp32, name)}
        settings = recipe_of_pruned(self._recipe, pruning)
        recipe = Recipe(
            "onnx",
            {"calibration": self._samples().sha256, **{role: parent.sha256 for role, parent in parents.items()}},
            {
                "precision": Precision.INT8.value,
                "recipe": settings.to_dict(),
                **versions_of("onnx", "onnxruntime", "numpy", "scipy", "torch"),
            },
        )

        def write(path: Path) -> Mapping[str, Any]:
            measurement = _read_measurement(parents["sensitivity"].path) if "sensitivity" in parents else None
            made = make_int8(self._workshop(parents), settings, measurement, warnings)
            onnx.save(made.model, path)
            return {"placement": made.placement.to_dict(), "int8": made.record.to_dict()}

        return self._store.obtain(self._run.onnx(name), recipe, write, expected_bytes)

    def weight_only_graph(self, fp32: Artifact, pruning: Pruning | None, expected_bytes: int) -> Artifact:
        """Stores the weights as INT8 and leaves the arithmetic to FP16; needs no calibration images."""
        samples = self._known_samples
        recipe = Recipe(
            "onnx",
            {"fp32": fp32.sha256} if samples is None else {"fp32": fp32.sha256, "calibration": samples.sha256},
            {
                "precision": Precision.INT8_WEIGHTS.value,
                "keep_float": list(self._recipe.keep_float),
                **versions_of("onnx", "numpy"),
            },
        )

        def write(path: Path) -> Mapping[str, Any]:
            model = onnx.load(fp32.path)
            made = make_weight_only(model, fp32.sha256, self._recipe.keep_float)
            onnx.save(made.model, path)
            facts: dict[str, Any] = {"placement": made.placement.to_dict()}
            if samples is not None:
                images = int8_images_from_samples(samples, self._contract)
                facts["int8"] = weight_only_record(model, made, images, image_warnings(samples)).to_dict()
            return facts

        return self._store.obtain(
            self._run.onnx(name_from_parts(Precision.INT8_WEIGHTS, pruning)), recipe, write, expected_bytes
        )

    def stability(self, fp32: Artifact, graph: Artifact, pruning: Pruning | None, pool: SampleSet) -> Artifact:
        """Calibrates the variant anew with other images and other numbers of them; see `calibration.stability`.

        Args:
            fp32: The graph that the variant was made from.
            graph: The variant's graph, whose sidecar says which layers are INT8.
            pruning: How the model of both was pruned.
            pool: All images that may be calibrated with.
        """
        judges = {sample.video for sample in split_by_video(self._samples())[1]}
        others = SampleSet(pool.root, tuple(s for s in pool.samples if s.video not in judges))
        recipe = Recipe(
            "int8-stability",
            {"fp32": fp32.sha256, "graph": graph.sha256, "pool": others.sha256},
            versions_of("torch", "numpy", "onnxruntime"),
        )

        def write(path: Path) -> Mapping[str, Any]:
            choices = _choices_from_facts(graph)
            model = onnx.load(fp32.path)
            images = int8_images_from_samples(self._samples(), self._contract).judging
            points = [
                stability_point(model, choices, samples, images, self._contract, seed)
                for seed, samples in progress_bar(sampled_sets(others), "calibrating anew", unit="set")
            ]
            path.write_text(json.dumps([point.to_dict() for point in points], indent=2), encoding="utf-8")
            return {"points": [point.to_dict() for point in points]}

        return self._store.obtain(
            self._run.stability(name_from_parts(Precision.INT8, pruning)), recipe, write, _TABLE_BYTES
        )

    def _samples(self) -> SampleSet:
        if self._known_samples is None:
            raise DataError("INT8 needs calibration images; pass --calibration DATA")
        return self._known_samples

    def _measured(self, fp32: Artifact, name: str) -> dict[str, Artifact]:
        """Measures what the recipe needs: channels, ranges, sensitivity."""
        found: dict[str, Artifact] = {}
        if self._recipe.repairs:
            found["channels"] = self._channels(fp32, name)
        found["table"] = self._table({"fp32": fp32, **found}, name)
        if self._recipe.searches:
            found["sensitivity"] = self._sensitivity({"fp32": fp32, **found}, name)
        return found

    def _channels(self, fp32: Artifact, name: str) -> Artifact:
        samples = self._samples()
        recipe = Recipe(
            "channel-statistics",
            {"fp32": fp32.sha256, "calibration": samples.sha256},
            {**self._placement_options, **versions_of("torch", "numpy", "onnx")},
        )

        def write(path: Path) -> Mapping[str, Any]:
            model = onnx.load(fp32.path)
            tensors = tensors_to_measure(model.graph, self._quantizable(model))
            graph = TorchGraph(model, torch_device())
            statistics = channel_statistics_from_samples(graph, tensors, self._reader(samples))
            write_channel_statistics(path, statistics)
            return {"tensors": len(statistics)}

        return self._store.obtain(self._run.channels(name), recipe, write, _CHANNELS_BYTES)

    def _table(self, parents: Mapping[str, Artifact], name: str) -> Artifact:
        samples, settings, digest = self._samples(), self._recipe, parents["fp32"].sha256
        recipe = Recipe(
            "calibration-table",
            {"calibration": samples.sha256, **{role: parent.sha256 for role, parent in parents.items()}},
            {
                "method": settings.method or ("auto" if settings.repairs else "minmax"),
                **self._placement_options,
                **versions_of("onnxruntime", "numpy", "torch"),
            },
        )

        def write(path: Path) -> Mapping[str, Any]:
            model = self._equalized(parents)
            placement = self._largest_placement(model)
            histograms, count = histograms_from_samples(model, placement.tensors, self._reader(samples))
            if settings.method is None and settings.repairs:
                batches = fitted_images(observed_and_choosing(samples)[1], self._contract).first(RANGE_IMAGES)
                graph = TorchGraph(model, torch_device())
                ranges = ranges_by_block_error(graph, placement.activations, histograms, batches)
                table = CalibrationTable(ranges, digest, samples.sha256, count)
            else:
                method = settings.method or "minmax"
                table = table_from_histograms(histograms, method, digest, samples.sha256, count)
            path.write_text(table.to_json(), encoding="utf-8")
            return {"images": count}

        return self._store.obtain(self._run.calibration_table(name), recipe, write, _TABLE_BYTES)

    def _sensitivity(self, parents: Mapping[str, Artifact], name: str) -> Artifact:
        path = self._run.sensitivity(name)
        recipe = Recipe(
            "int8-sensitivity",
            {"calibration": self._samples().sha256, **{role: parent.sha256 for role, parent in parents.items()}},
            {**self._placement_options, **versions_of("torch", "numpy")},
        )
        unfinished = path.with_name(path.name + ".partial")

        def write(temporary: Path) -> Mapping[str, Any]:
            found = measure_sensitivity(
                self._workshop(parents),
                self._recipe,
                _unfinished_measurement(unfinished, recipe.key),
                lambda state: write_json(unfinished, {"key": recipe.key, **vars(state)}),
            )
            temporary.write_text(json.dumps(vars(found)), encoding="utf-8")
            return {"images": len(found.logits), "measured": len(found.errors)}

        made = self._store.obtain(path, recipe, write, _SENSITIVITY_BYTES)
        if not self._store.dry_run:
            unfinished.unlink(missing_ok=True)
        return made

    @property
    def _placement_options(self) -> dict[str, Any]:
        return {"policy": self._recipe.policy_with_pins.to_dict(), "quantize": list(self._recipe.quantize)}

    def _quantizable(self, model: onnx.ModelProto) -> frozenset[str]:
        return frozenset(layer.name for layer in self._largest_placement(model).layers)

    def _largest_placement(self, model: onnx.ModelProto) -> Placement:
        """Returns the placement in which everything is INT8 that may become it."""
        layers = layers_from_graph(model.graph)
        choices = choices_from_policy(layers, self._recipe.policy_with_pins)
        pins = [layer for layer in layers if first_match(layer.name, self._recipe.quantize)]
        # The layers of a gate are settled together, so that a pin on one of them is one on its partner.
        gates = any(layer.role is Role.SQUEEZE_EXCITE for layer in pins)
        pinned = [layer.name for layer in layers if layer in pins or (gates and layer.role is Role.SQUEEZE_EXCITE)]
        choices.update(dict.fromkeys(pinned, Choice(Arithmetic.INT8)))
        return placement_from_choices(model.graph, choices, self._recipe.policy.residual)

    def _equalized(self, parents: Mapping[str, Artifact]) -> onnx.ModelProto:
        model = onnx.load(parents["fp32"].path)
        if "channels" not in parents:
            return model
        statistics = read_channel_statistics(parents["channels"].path)
        return equalized_from_fp32(model, statistics, self._quantizable(model))[0]

    def _workshop(self, parents: Mapping[str, Artifact]) -> Int8Workshop:
        model = onnx.load(parents["fp32"].path)
        return Int8Workshop(
            model,
            read_channel_statistics(parents["channels"].path) if "channels" in parents else None,
            self._quantizable(model),
            CalibrationTable.from_json(parents["table"].path.read_text(encoding="utf-8")),
            int8_images_from_samples(self._samples(), self._contract),
            self._contract.size,
        )

    def _reader(self, samples: SampleSet) -> BatchReader:
        """Reads the images to observe; those of other videos choose among ranges, and others yet judge."""
        return BatchReader(observed_and_choosing(samples)[0].samples, self._contract, SMALL_BATCH)


def _choices_from_facts(graph: Artifact) -> dict[str, Choice]:
    """Returns how each layer of a variant ended up, from the record in its sidecar."""
    groups = graph.facts["int8"]["groups"]
    return {layer: Choice(Arithmetic(group["arithmetic"])) for group in groups for layer in group["layers"]}


def _read_measurement(path: Path) -> Measurement:
    record = read_json(path)
    try:
        return Measurement(list(record["logits"]), dict(record["errors"]))
    except (KeyError, TypeError, ValueError) as error:
        raise CalibrationError(f"{path} is not a sensitivity measurement ({error!r}); delete it") from error


def _unfinished_measurement(path: Path, key: str) -> Measurement:
    """Returns what an interrupted measurement of the same recipe had found; nothing if there was none."""
    try:
        record = read_json(path)
        if record["key"] == key:
            return Measurement(list(record["logits"]), dict(record["errors"]))
    except (ArtifactError, KeyError, TypeError, ValueError):
        pass
    return Measurement()
