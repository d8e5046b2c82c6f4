"""All that making an INT8 variant takes, from a graph and images in memory, without files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from calibration.channel_statistics import ChannelStatistics
from calibration.equalization import equalized_from_fp32, tensors_to_measure
from calibration.histogram import StreamingHistogram
from calibration.int8_images import Int8Images, LabelledImages
from calibration.int8_making import MadeInt8, make_int8, measure_sensitivity
from calibration.int8_workshop import Int8Workshop
from calibration.layers import layers_from_graph
from calibration.placement import (
    Arithmetic,
    Choice,
    PlacementPolicy,
    choices_from_policy,
    first_match,
    placement_from_choices,
    placement_from_graph,
)
from calibration.range_choice import ranges_by_block_error
from calibration.sensitivity import Measurement
from calibration.table import CalibrationTable, table_from_histograms
from calibration.torch_graph import TorchGraph
from export.contract import INPUT_NAME
from export.runners import session_from_model
from tests.calibration.planted import DIGEST, with_outputs
from tests.calibration.small_networks import constant_of, copied, replace_constants

if TYPE_CHECKING:
    from collections.abc import Collection

    import onnx

    from calibration.histogram import Histogram
    from calibration.int8_recipe import Int8Recipe


@dataclass(frozen=True)
class Made:
    """A variant, what it was made in, and what was measured for it."""

    workshop: Int8Workshop
    variant: MadeInt8
    measurement: Measurement | None


def values_of(model: onnx.ModelProto, tensors: Collection[str], images: np.ndarray) -> dict[str, np.ndarray]:
    """Computes tensors in ONNX Runtime."""
    names = [name for name in tensors if name != INPUT_NAME]
    got = session_from_model(with_outputs(model, names), threads=1).run(names, {INPUT_NAME: images}) if names else []
    computed = dict(zip(names, got, strict=True))
    return {name: images if name == INPUT_NAME else computed[name] for name in tensors}


def statistics_of(values: dict[str, np.ndarray]) -> dict[str, ChannelStatistics]:
    """Measures channels with NumPy."""
    flat = {name: np.moveaxis(v, 1, 0).reshape(v.shape[1], -1).astype(np.float64) for name, v in values.items()}
    return {
        name: ChannelStatistics(v.min(axis=1), v.max(axis=1), v.mean(axis=1), np.mean(v**2, axis=1))
        for name, v in flat.items()
    }


def histograms_of(model: onnx.ModelProto, tensors: Collection[str], images: np.ndarray) -> dict[str, Histogram]:
    """Counts the magnitudes of tensors, image by image."""
    values = values_of(model, tensors, images)
    counters = {name: StreamingHistogram() for name in tensors}
    for name, counter in counters.items():
        for value in values[name]:
            counter.update(value)
    return {name: counter.snapshot() for name, counter in counters.items()}


def quantizable(model: onnx.ModelProto, everything: bool) -> frozenset[str]:
    """Returns the layers that may become INT8: all of them, or those of the default policy."""
    if everything:
        return frozenset(layer.name for layer in layers_from_graph(model.graph))
    return frozenset(layer.name for layer in placement_from_graph(model.graph, PlacementPolicy()).layers)


def labelled_images(size: int, fitted: int = 48, judging: int = 48, seed: int = 0) -> Int8Images:
    """Draws images of many contrasts; fakes are brighter."""
    rng = np.random.default_rng(seed)

    def drawn(count: int) -> LabelledImages:
        is_fake = np.arange(count) % 2 == 0
        contrast = rng.uniform(0.6, 1.2, (count, 1, 1, 1))
        noise = np.kron(rng.uniform(-1.7, 1.7, (count, 3, size // 4, size // 4)), np.ones((4, 4)))
        images = contrast * noise + 0.5 * is_fake[:, None, None, None] + rng.uniform(-0.7, 0.7, (count, 3, 1, 1))
        batches = torch.from_numpy(images.astype(np.float32)).split(16)
        return LabelledImages(tuple(batches), is_fake)

    return Int8Images(drawn(fitted), drawn(judging))


def with_hidden_wide_channels(model: onnx.ModelProto, factor: float) -> onnx.ModelProto:
    """Makes the first channel of what projections make wider and lets its readers undo that: the logit is the same."""
    copy = copied(model)
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in copy.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    for node in copy.graph.node:
        behind = readers.get(node.output[0], [])
        if node.op_type != "Conv" or not behind or any(other.op_type != "Conv" for other in behind):
            continue
        changed = {name: constant_of(copy, name).copy() for name in node.input[1:3]}
        for values in changed.values():
            values[0] *= factor
        for other in behind:
            changed[other.input[1]] = constant_of(copy, other.input[1]).copy()
            changed[other.input[1]][:, 0] /= factor
        replace_constants(copy, changed)
    return copy


def workshop_for(model: onnx.ModelProto, recipe: Int8Recipe, images: Int8Images) -> Int8Workshop:
    """Measures channels and ranges and opens a workshop, as `engines.int8_stages` does."""
    layers = layers_from_graph(model.graph)
    choices = choices_from_policy(layers, recipe.policy_with_pins)
    pinned = [layer.name for layer in layers if first_match(layer.name, recipe.quantize)]
    choices.update(dict.fromkeys(pinned, Choice(Arithmetic.INT8)))
    quantized = [name for name, choice in choices.items() if choice.arithmetic is Arithmetic.INT8]
    fitted = torch.cat(images.fitted.batches).numpy()
    equalized, statistics = model, None
    if recipe.repairs:
        statistics = statistics_of(values_of(model, tensors_to_measure(model.graph, quantized), fitted))
        equalized = equalized_from_fp32(model, statistics, quantized)[0]
    placement = placement_from_choices(equalized.graph, choices, recipe.policy.residual)
    histograms = histograms_of(equalized, placement.tensors, fitted)
    if recipe.repairs:
        ranges = ranges_by_block_error(
            TorchGraph(equalized), placement.activations, histograms, images.fitted.first(32)
        )
        table = CalibrationTable(ranges, DIGEST, "", len(fitted))
    else:
        table = table_from_histograms(histograms, "minmax", DIGEST, "", len(fitted))
    return Int8Workshop(model, statistics, quantized, table, images, fitted.shape[-1])


def made_int8(model: onnx.ModelProto, recipe: Int8Recipe, images: Int8Images) -> Made:
    """Makes a variant from beginning to end."""
    workshop = workshop_for(model, recipe, images)
    measurement = None
    if recipe.searches:
        measurement = measure_sensitivity(workshop, recipe, Measurement(), lambda _: None)
    return Made(workshop, make_int8(workshop, recipe, measurement, ()), measurement)
