"""Repairs of a pruned detector that need no labels: reconstruction and alignment of the logit."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from export.checkpoints.head import classifier_of
from export.unfolding import state_with_folded_weights
from pruning.reconstruction import sparse_reconstructed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from calibration.logit_alignment import Alignment
    from export.checkpoint import Detector
    from pruning.network import DenseNetwork
    from pruning.reconstruction import Choice


def reconstructed(
    network: DenseNetwork, choices: Mapping[str, Choice], batches: Sequence[torch.Tensor]
) -> tuple[Detector, dict[str, torch.Tensor]]:
    """Chooses zeros layer by layer and fits what is left to what the dense network does.

    Args:
        network: The dense network.
        choices: Layer -> what chooses its zeros.
        batches: Normalized calibration images (N, 3, size, size) each.

    Returns:
        The repaired detector, and the masks: layer -> bool of its weight's shape, False where the weight is zero.
    """
    layers = network.fitted_layers
    found = sparse_reconstructed(network.graph, layers, choices, network.geometries, network.biases, batches)
    offsets = {
        layer.name: (network.graph.constants[network.biases[layer.name]] + found.corrections[layer.name]).cpu()
        if layer.name in network.biases
        else torch.zeros(layer.weight_shape[layer.channel_axis])
        for layer in layers
    }
    detector = network.detector
    size = detector.contract.input.size
    turned = {layer.name for layer in layers if layer.channel_axis == 1}
    weights = {name: as_stored(weight.cpu(), name in turned) for name, weight in found.weights.items()}
    masks = {name: weights[name] != 0 for name in choices}
    state = state_with_folded_weights(detector.module, torch.zeros(1, 3, size, size), weights, offsets)
    return masked(_with_state(detector, state), masks), masks


def as_stored(weight: torch.Tensor, turned: bool) -> torch.Tensor:
    """Returns a weight of the graph as PyTorch stores it, outputs first, or the other way round."""
    return weight.T.contiguous() if turned else weight


def masked(detector: Detector, masks: Mapping[str, torch.Tensor]) -> Detector:
    """Returns a copy of a detector with zeros where masks are False."""
    state = dict(detector.module.state_dict())
    for name, mask in masks.items():
        state[f"{name}.weight"] = state[f"{name}.weight"] * mask
    return _with_state(detector, state)


def aligned(detector: Detector, alignment: Alignment) -> Detector:
    """Returns a copy of a detector with an alignment folded into the classifier, which makes the one logit."""
    copied = _with_state(detector, detector.module.state_dict())
    classifier = classifier_of(copied.module, copied.contract)
    with torch.no_grad():
        classifier.weight.mul_(alignment.scale)
        classifier.bias.mul_(alignment.scale).add_(alignment.offset)
    return copied


def _with_state(detector: Detector, state: Mapping[str, torch.Tensor]) -> Detector:
    module = copy.deepcopy(detector.module)
    module.load_state_dict(state)
    return replace(detector, module=module.eval(), sha256="")
