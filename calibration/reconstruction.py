"""Reconstruction: the weights of a variant, layer after layer, fitted to what each layer reads in INT8.

Rounding disturbs the input of every later layer. Here each layer in graph order learns to give from its disturbed input
what it gave from the undisturbed one, with everything before it as it will be in the variant: its weights are refit and
rounded (see `calibration.weight_fitting`), and what is left of the mean error is taken from its bias.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from calibration.fake_quantization import with_added_biases, with_weights
from calibration.int8_from_table import Int8Weight
from calibration.layer_inputs import matrix_of_weight, weight_of_matrix
from calibration.observed_input import observed_input, walked_layers
from calibration.weight_fitting import RIDGE, masked_least_squares, refitted
from calibration.weight_rounding import rounded_with_compensation, scales_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from calibration.layer_inputs import LayerGeometry
    from calibration.layers import Layer
    from calibration.torch_graph import Overrides, TorchGraph


@dataclass(frozen=True)
class Reconstruction:
    """What was fitted.

    Attributes:
        weights: Layer -> its weight.
        corrections: Layer -> what is added to its bias, of shape (outputs,).
    """

    weights: dict[str, Int8Weight]
    corrections: dict[str, torch.Tensor]


def reconstructed(
    graph: TorchGraph,
    overrides: Overrides,
    layers: Sequence[Layer],
    geometries: Mapping[str, LayerGeometry],
    biases: Mapping[str, str],
    batches: Sequence[torch.Tensor],
) -> Reconstruction:
    """Fits the weights of a whole variant.

    Args:
        graph: The FP32 graph.
        overrides: What the variant rounds.
        layers: Layers whose weights are stored as INT8 and that have a bias, in graph order.
        geometries: Layer -> how it reads its input.
        biases: Layer -> its bias initializer.
        batches: Normalized calibration images (N, 3, size, size) each.
    """
    found = Reconstruction({}, {})
    for layer, inputs in walked_layers(graph, layers, batches, lambda: _with(graph, overrides, found, biases)):
        with torch.inference_mode():
            weight, correction = _reconstructed_layer(graph, layer, geometries[layer.name], inputs)
        found.weights[layer.name] = weight
        found.corrections[layer.name] = correction
    return found


def _with(graph: TorchGraph, overrides: Overrides, found: Reconstruction, biases: Mapping[str, str]) -> Overrides:
    return {
        **overrides,
        **with_weights(graph, found.weights),
        **with_added_biases(graph, found.corrections, biases),
    }


def _reconstructed_layer(
    graph: TorchGraph,
    layer: Layer,
    geometry: LayerGeometry,
    inputs: Iterator[tuple[torch.Tensor, torch.Tensor]],
) -> tuple[Int8Weight, torch.Tensor]:
    """Fits one layer; returns its weight and what its bias lacks."""
    weight = matrix_of_weight(graph.constants[layer.weight], layer, geometry.groups).double()
    observed = observed_input(inputs, geometry)
    observed.moments.damp(RIDGE)
    refit = refitted(weight, observed.moments)
    kept = weight != 0
    if not kept.all():  # zeros of a pruned network stay: they are what a download or a sparse kernel saves
        refit = masked_least_squares(refit, kept, observed.moments.disturbed)
    scale = scales_of(refit)
    steps = rounded_with_compensation(refit, scale, observed.moments.disturbed)
    values = weight_of_matrix(steps, layer).to(torch.int8).cpu().numpy()
    stored = Int8Weight(values, scale.reshape(-1).float().cpu().numpy(), layer.channel_axis)
    return stored, observed.lacking(weight, steps * scale.unsqueeze(2))
