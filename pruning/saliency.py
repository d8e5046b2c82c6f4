"""What the loss of weights or channels costs: measured once for every part of a network, for all percentages.

A part is a layer that may lose weights, or a group of channels. How much the output of a part suffers follows from
second moments of its input; how much the logit suffers by that is measured, by taking much of the part away from an
otherwise dense network, with what is left of it refitted. Neither needs labels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from calibration.layer_inputs import matrix_of_weight, weight_of_matrix
from calibration.logit_alignment import fitted_alignment
from calibration.observed_input import observed_input, walked_layers
from calibration.segments import segments_from_graph
from calibration.sensitivity import logits_behind, states_at_cuts
from calibration.weight_fitting import masked_least_squares
from export.progress import progress_bar
from pruning.channel_elimination import eliminated
from pruning.channel_groups import kept_channels
from pruning.reconstruction import SPARSE_RIDGE, SparseReconstruction
from pruning.zeros import LARGEST_SHARE, CheapestZeros

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from calibration.layer_inputs import LayerGeometry
    from calibration.layers import Layer
    from calibration.observed_input import ObservedInput
    from calibration.torch_graph import Overrides, TorchGraph
    from pruning.channel_groups import ChannelGroup

# Shares of zeros whose error is measured. Below the first it is taken to fall with the cube of the share, as for
# weights spread evenly around zero; between them the logarithm is interpolated.
_MEASURED_SHARES = (0.3, 0.5, 0.7, 0.85, LARGEST_SHARE)
_SHARES = (*(round(0.05 * step, 2) for step in range(19)), LARGEST_SHARE)
_PROBED_SHARE = 0.7
_PROBED_CHANNELS = 0.5
_TINY = 1e-30


@dataclass(frozen=True)
class Saliency:
    """What one part of a network loses.

    Attributes:
        name: Of a layer, or of a group of channels.
        amounts: Share of its weights that is zero, or number of its channels that are removed; rising from 0.
        noise: Predicted noise power on the logit, for each amount; offset and scale of the logit do not count.
        order: Channels in the order of their removal; empty for a layer that loses single weights.
    """

    name: str
    amounts: tuple[float, ...]
    noise: tuple[float, ...]
    order: tuple[int, ...] = ()


@dataclass(frozen=True)
class _Probe:
    """A part with much of it taken away, and the squared error of its output for less and more than that."""

    layer: Layer
    amounts: tuple[float, ...]
    errors: NDArray[np.float64]
    probed_error: float
    overrides: Overrides
    order: tuple[int, ...] = ()


class SaliencyMeter:
    """Measures saliencies of a detector.

    Args:
        graph: The dense FP32 graph.
        geometries: Layer -> how it reads its input.
        biases: Layer -> its bias initializer, if it has one.
        fitted: Normalized images (N, 3, size, size) each that second moments are taken of.
        probed: Images that probes are judged on.
    """

    def __init__(
        self,
        graph: TorchGraph,
        geometries: Mapping[str, LayerGeometry],
        biases: Mapping[str, str],
        fitted: Sequence[torch.Tensor],
        probed: Sequence[torch.Tensor],
    ) -> None:
        self._graph = graph
        self._geometries = geometries
        self._biases = biases
        self._fitted = fitted
        self._probed = probed

    def of_weights(self, layers: Sequence[Layer]) -> tuple[Saliency, ...]:
        """Measures what layers lose when some of their weights become zero."""
        return self._measured([self._with_zeros(layer, observed) for layer, observed in self._observed(layers)])

    def of_channels(self, groups: Sequence[ChannelGroup]) -> tuple[Saliency, ...]:
        """Measures what groups lose when some of their channels are removed, in the steps of `kept_channels`."""
        readers = [group.readers[-1] for group in groups]
        return self._measured([self._narrowed(layer, observed) for layer, observed in self._observed(readers)])

    def _observed(self, layers: Sequence[Layer]) -> Iterator[tuple[Layer, ObservedInput]]:
        for layer, inputs in walked_layers(self._graph, layers, self._fitted, dict, "weighing"):
            with torch.inference_mode():
                observed = observed_input(inputs, self._geometries[layer.name])
                observed.moments.damp(SPARSE_RIDGE)
            yield layer, observed

    def _with_zeros(self, layer: Layer, observed: ObservedInput) -> _Probe:
        weight, covariance = self._matrix(layer), observed.moments.disturbed
        zeros = CheapestZeros(weight, covariance)
        variants = {share: zeros.zeroed(share) for share in _MEASURED_SHARES}
        measured = [output_error(found - weight, covariance) for found in variants.values()]
        return _Probe(
            layer,
            _SHARES,
            _errors_of_shares(np.array(_MEASURED_SHARES), np.array(measured), np.array(_SHARES)),
            measured[_MEASURED_SHARES.index(_PROBED_SHARE)],
            self._replaced(layer, weight, variants[_PROBED_SHARE], observed),
        )

    def _narrowed(self, layer: Layer, observed: ObservedInput) -> _Probe:
        weight, covariance = self._matrix(layer), observed.moments.disturbed
        area = math.prod(self._geometries[layer.name].kernel or (1,))
        channels = weight.shape[2] // area
        amounts = tuple(channels - kept for kept in kept_channels(channels))
        found = eliminated(weight[0], covariance[0], channels - amounts[-1], area)
        half = round(_PROBED_CHANNELS * (len(found.errors) - 1))
        kept = torch.ones(channels, dtype=torch.bool, device=weight.device)
        kept[list(found.order[:half])] = False
        narrow = masked_least_squares(weight, kept.repeat_interleave(area).expand_as(weight), covariance)
        return _Probe(
            layer,
            amounts,
            np.array(found.errors)[list(amounts)],
            found.errors[half],
            self._replaced(layer, weight, narrow, observed),
            found.order,
        )

    def _matrix(self, layer: Layer) -> torch.Tensor:
        weight = self._graph.constants[layer.weight]
        return matrix_of_weight(weight, layer, self._geometries[layer.name].groups).double()

    def _replaced(self, layer: Layer, weight: torch.Tensor, found: torch.Tensor, observed: ObservedInput) -> Overrides:
        correction = {layer.name: observed.lacking(weight, found)} if layer.name in self._biases else {}
        fitted = SparseReconstruction({layer.name: weight_of_matrix(found.float(), layer)}, correction)
        return fitted.overrides(self._graph, self._biases)

    def _measured(self, probes: Sequence[_Probe]) -> tuple[Saliency, ...]:
        """Tries every probe out and scales its errors to the noise that it makes."""
        logits: dict[str, list[NDArray[np.float64]]] = {probe.layer.name: [] for probe in probes}
        dense: list[NDArray[np.float64]] = []
        segments = segments_from_graph(self._graph, self._probed[0][:1])
        for batch in progress_bar(self._probed, "measuring saliency", len(self._probed), "batch"):
            with torch.inference_mode():
                states = states_at_cuts(self._graph, segments, batch.to(self._graph.device))
                dense.append(logits_behind(self._graph, states))
                for probe in probes:
                    name = probe.layer.name
                    logits[name].append(logits_behind(self._graph, states, probe.overrides, name))
        reference = np.concatenate(dense)
        return tuple(_saliency(probe, np.concatenate(logits[probe.layer.name]), reference) for probe in probes)


def output_error(change: torch.Tensor, covariance: torch.Tensor) -> float:
    """Returns the mean squared error of a layer's outputs, summed over them, by a change (groups, outputs, K)."""
    return float(((change @ covariance) * change).sum())


def _saliency(probe: _Probe, logits: NDArray[np.float64], dense: NDArray[np.float64]) -> Saliency:
    noise = float(np.mean((fitted_alignment(logits, dense).of(logits) - dense) ** 2))
    scaled = noise * probe.errors / max(probe.probed_error, _TINY)
    return Saliency(probe.layer.name, probe.amounts, tuple(scaled.tolist()), probe.order)


def _errors_of_shares(
    known: NDArray[np.float64], errors: NDArray[np.float64], shares: NDArray[np.float64]
) -> NDArray[np.float64]:
    between = np.exp(np.interp(shares, known, np.log(np.maximum(errors, _TINY))))
    found: NDArray[np.float64] = np.where(shares < known[0], errors[0] * (shares / known[0]) ** 3, between)
    return found
