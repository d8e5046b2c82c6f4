"""Reconstruction of a pruned network: the weights that are left take over, layer after layer, what the others did.

Each layer in graph order is fitted to give from what the pruned layers before it make the output of the dense network
(see `calibration.weight_fitting`); then its zeros are chosen, and the weights that stay fitted once more: least squares
from second moments of its input, without labels. What is left of the mean error is taken from its bias.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import torch

from calibration.fake_quantization import instead, with_added_biases
from calibration.layer_inputs import matrix_of_weight, weight_of_matrix
from calibration.observed_input import observed_input, walked_layers
from calibration.weight_fitting import masked_least_squares, refitted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from calibration.layer_inputs import LayerGeometry
    from calibration.layers import Layer
    from calibration.torch_graph import Overrides, TorchGraph

    # Weight (groups, outputs, K) and damped covariance (groups, K, K) of the input -> bool, which weights stay.
    Choice = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

# Half the weights of a layer are a far larger disturbance than rounding: moments may be trusted more.
SPARSE_RIDGE = 0.03


@dataclass(frozen=True)
class SparseReconstruction:
    """What was fitted.

    Attributes:
        weights: Layer -> its weight, of its shape.
        corrections: Layer -> what is added to its bias, of shape (outputs,), if it has one.
    """

    weights: dict[str, torch.Tensor] = field(default_factory=dict)
    corrections: dict[str, torch.Tensor] = field(default_factory=dict)

    def overrides(self, graph: TorchGraph, biases: Mapping[str, str]) -> Overrides:
        """Returns what the fitted layers read in the place of their dense weights and biases."""
        replaced: dict[tuple[str, int], partial[torch.Tensor]] = {
            (name, 1): partial(instead, weight) for name, weight in self.weights.items()
        }
        return {**replaced, **with_added_biases(graph, self.corrections, biases)}


def sparse_reconstructed(
    graph: TorchGraph,
    layers: Sequence[Layer],
    choices: Mapping[str, Choice],
    geometries: Mapping[str, LayerGeometry],
    biases: Mapping[str, str],
    batches: Sequence[torch.Tensor],
    ridge: float = SPARSE_RIDGE,
) -> SparseReconstruction:
    """Fits the layers of a pruned network.

    Args:
        graph: The dense FP32 graph.
        layers: Layers to fit, in graph order.
        choices: Layer -> what chooses its zeros, from its refitted weight. Layers without one stay dense.
        geometries: Layer -> how it reads its input.
        biases: Layer -> its bias initializer, if it has one.
        batches: Normalized calibration images (N, 3, size, size) each.
        ridge: Share of the mean variance of a layer's input that is added to every variance.
    """
    found = SparseReconstruction()
    for layer, inputs in walked_layers(graph, layers, batches, lambda: found.overrides(graph, biases)):
        with torch.inference_mode():
            choice = choices.get(layer.name)
            weight, correction = _fitted_layer(graph, layer, geometries[layer.name], choice, inputs, ridge)
        found.weights[layer.name] = weight
        if layer.name in biases:
            found.corrections[layer.name] = correction
    return found


def _fitted_layer(
    graph: TorchGraph,
    layer: Layer,
    geometry: LayerGeometry,
    choice: Choice | None,
    inputs: Iterator[tuple[torch.Tensor, torch.Tensor]],
    ridge: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    weight = matrix_of_weight(graph.constants[layer.weight], layer, geometry.groups).double()
    observed = observed_input(inputs, geometry)
    observed.moments.damp(ridge)
    fitted = refitted(weight, observed.moments)
    if choice is not None:
        kept = choice(fitted, observed.moments.disturbed)
        fitted = masked_least_squares(fitted, kept, observed.moments.disturbed)
    return weight_of_matrix(fitted.float(), layer), observed.lacking(weight, fitted.float().double())
