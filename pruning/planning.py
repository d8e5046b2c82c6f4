"""Decides what is taken from which layer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch

from calibration.layer_inputs import matrix_of_weight
from export.variant import PruningKind
from pruning.allocation import Options, allocated
from pruning.capacity import parameters_of_channels, require_possible
from pruning.channel_groups import kept_channels
from pruning.nncf_magnitude import magnitude_masks
from pruning.repair import as_stored
from pruning.saliency import SaliencyMeter
from pruning.zeros import KEPT_OF_FOUR, RUN_OF_FOUR, cheapest, fixed, pattern_two_of_four

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from calibration.layers import Layer
    from export.variant import Pruning
    from pruning.allocation import Allocation
    from pruning.network import DenseNetwork
    from pruning.reconstruction import Choice
    from pruning.saliency import Saliency


@dataclass(frozen=True)
class PruningPlan:
    """What is to be taken away.

    Attributes:
        choices: Layer -> what chooses its zeros.
        removed: Group of channels -> its channels to remove.
        noise: Predicted noise power on the logit; None where nothing was predicted.
    """

    choices: Mapping[str, Choice]
    removed: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    noise: float | None = None


class Planner:
    """Plans any percentage of a detector; what several plans need is measured once.

    Args:
        network: The dense network.
        fitted: Normalized calibration images (N, 3, size, size) each that second moments are taken of.
        probed: Some of them, that the loss of parts is tried out on.
    """

    def __init__(self, network: DenseNetwork, fitted: Sequence[torch.Tensor], probed: Sequence[torch.Tensor]) -> None:
        self._network = network
        self._meter = (network, tuple(fitted), tuple(probed))
        self._saliencies: dict[PruningKind, tuple[Saliency, ...]] = {}

    def plan(self, pruning: Pruning) -> PruningPlan:
        """Plans so that the logit is disturbed least.

        Raises:
            PruningError: So much cannot be taken away, or the network has nothing of that kind to take.
        """
        require_possible(self._network, pruning)
        if pruning.kind is PruningKind.TWO_OF_FOUR:
            return _two_of_four_plan(self._network, pattern_two_of_four)
        allocation = self._allocation(pruning)
        chosen = {found.name: found.amounts[allocation.chosen[found.name]] for found in self._of(pruning.kind)}
        if pruning.kind is PruningKind.UNSTRUCTURED:
            return PruningPlan({name: cheapest(share) for name, share in chosen.items() if share}, {}, allocation.noise)
        orders = {found.name: found.order for found in self._of(pruning.kind)}
        removed = {name: orders[name][: int(count)] for name, count in chosen.items() if count}
        return PruningPlan(_choices_without(self._network, removed), removed, allocation.noise)

    def predicted_noise(self, pruning: Pruning) -> float | None:
        """Predicts the noise power on the logit; None for 2:4 sparsity, which leaves nothing to plan."""
        return None if pruning.kind is PruningKind.TWO_OF_FOUR else self._allocation(pruning).noise

    def _allocation(self, pruning: Pruning) -> Allocation:
        saliencies = self._of(pruning.kind)
        if pruning.kind is PruningKind.UNSTRUCTURED:
            sizes = {layer.name: layer.weight_count for layer in self._network.prunable_layers}
            total = self._network.weight_count
        else:
            sizes = parameters_of_channels(self._network)
            total = self._network.detector.parameter_count
        families = {group.name: group.shape for group in self._network.channel_groups}
        parts = [
            Options(
                found.name,
                sizes[found.name] * np.asarray(found.amounts),
                np.asarray(found.noise),
                families.get(found.name, "") if pruning.kind is PruningKind.STRUCTURED else found.name,
            )
            for found in saliencies
        ]
        return allocated(parts, pruning.percent / 100 * total)

    def _of(self, kind: PruningKind) -> tuple[Saliency, ...]:
        if kind not in self._saliencies:
            network, fitted, probed = self._meter
            meter = SaliencyMeter(network.graph, network.geometries, network.biases, fitted, probed)
            structured = kind is PruningKind.STRUCTURED
            self._saliencies[kind] = (
                meter.of_channels(network.channel_groups) if structured else meter.of_weights(network.prunable_layers)
            )
        return self._saliencies[kind]


def magnitude_plan(network: DenseNetwork, pruning: Pruning) -> PruningPlan:
    """Plans by the size of weights alone, with an equal share for every layer or group of channels.

    Raises:
        PruningError: So much cannot be taken away, or the network has nothing of that kind to take.
    """
    require_possible(network, pruning)
    if pruning.kind is PruningKind.TWO_OF_FOUR:
        return _two_of_four_plan(network, _largest_of_four)
    if pruning.kind is PruningKind.STRUCTURED:
        removed = _smallest_channels(network, pruning)
        return PruningPlan(_choices_without(network, removed), removed)
    prunable = {layer.name: layer for layer in network.prunable_layers}
    available = sum(layer.weight_count for layer in prunable.values()) / network.weight_count
    kept = [layer.name for layer in network.layers if layer.name not in prunable]
    masks = magnitude_masks(network.detector, pruning.percent / 100 / available, kept)
    return PruningPlan(
        {
            name: fixed(_matrix_of_mask(mask, prunable[name], network.geometries[name].groups))
            for name, mask in masks.items()
        }
    )


def _smallest_channels(network: DenseNetwork, pruning: Pruning) -> dict[str, tuple[int, ...]]:
    """Takes about the same share of the channels of every group, those whose readers have the smallest weights."""
    groups, sizes = network.channel_groups, parameters_of_channels(network)
    parts = []
    for group in groups:
        removed = group.channels - np.array(kept_channels(group.channels), dtype=np.float64)
        # The price per weight of this is twice the share, so that all groups lose the same one.
        noise = sizes[group.name] * removed**2 / group.channels
        parts.append(Options(group.name, sizes[group.name] * removed, noise, group.shape))
    total = network.detector.parameter_count
    allocation = allocated(parts, pruning.percent / 100 * total)
    found = {}
    for group, part in zip(groups, parts, strict=True):
        matrices = [matrix_of_weight(network.graph.constants[reader.weight], reader, 1)[0] for reader in group.readers]
        weights = [matrix.reshape(len(matrix), group.channels, -1) for matrix in matrices]
        order = torch.argsort(sum((weight.square().sum(dim=(0, 2)) for weight in weights), torch.zeros(()))).tolist()
        count = round(float(part.savings[allocation.chosen[group.name]]) / sizes[group.name])
        if count:
            found[group.name] = tuple(order[:count])
    return found


def _choices_without(network: DenseNetwork, removed: Mapping[str, Sequence[int]]) -> dict[str, Choice]:
    """Returns what makes the readers of removed channels ignore them."""
    choices: dict[str, Choice] = {}
    for group in network.channel_groups:
        if group.name in removed:
            left = torch.ones(group.channels, dtype=torch.bool)
            left[list(removed[group.name])] = False
            for reader in group.readers:
                columns = left.repeat_interleave(
                    reader.weight_count // (reader.weight_shape[reader.channel_axis] * group.channels)
                )
                choices[reader.name] = fixed(columns.view(1, 1, -1))
    return choices


def _matrix_of_mask(mask: torch.Tensor, layer: Layer, groups: int) -> torch.Tensor:
    """Returns a mask that is shaped as PyTorch stores the weight as (groups, outputs of a group, columns)."""
    return matrix_of_weight(as_stored(mask, layer.channel_axis == 1), layer, groups)


def _two_of_four_plan(network: DenseNetwork, choice: Choice) -> PruningPlan:
    return PruningPlan({layer.name: choice for layer in network.two_of_four_layers})


def _largest_of_four(weight: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
    runs = weight.abs().reshape(*weight.shape[:2], -1, RUN_OF_FOUR)
    rank = runs.argsort(dim=3, descending=True).argsort(dim=3)
    kept: torch.Tensor = (rank < KEPT_OF_FOUR).reshape(weight.shape)
    return kept
