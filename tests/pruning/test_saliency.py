"""Predicted noise against that of networks which really lost the weights, alone and together."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from pruning.network import DenseNetwork
from pruning.saliency import Saliency, SaliencyMeter
from pruning.zeros import CheapestZeros
from tests.calibration.workbench import labelled_images
from tests.detectors import random_detector
from tests.exports import exported

if TYPE_CHECKING:
    from collections.abc import Sequence


@pytest.fixture(scope="module")
def network() -> DenseNetwork:
    detector = random_detector(seed=3)
    # The first half of the middle channels of one block is read by nobody, as in a network that never needed them.
    block = detector.module.get_submodule("blocks.3.0")
    for reader in (block.conv_pwl, block.se.conv_reduce):
        reader.weight.data[:, : reader.in_channels // 2] = 1e-7
    return DenseNetwork(detector, exported(detector))


@pytest.fixture(scope="module")
def meter(network: DenseNetwork) -> SaliencyMeter:
    fitted = labelled_images(64, fitted=64).fitted
    return SaliencyMeter(network.graph, network.geometries, network.biases, fitted.batches, fitted.batches[:2])


def check(found: tuple[Saliency, ...]) -> None:
    for saliency in found:
        assert saliency.amounts[0] == 0
        assert saliency.noise[0] == 0
        assert np.all(np.diff(saliency.amounts) > 0)
        assert np.all(np.diff(saliency.noise) >= 0), saliency.name


def test_zeros_are_measured_for_every_share_and_layer(network: DenseNetwork, meter: SaliencyMeter) -> None:
    found = meter.of_weights(network.prunable_layers)
    check(found)
    assert [saliency.name for saliency in found] == [layer.name for layer in network.prunable_layers]
    assert all(saliency.amounts[-1] == 0.95 for saliency in found)


def test_channels_are_removed_in_steps_of_tensor_cores(network: DenseNetwork, meter: SaliencyMeter) -> None:
    found = meter.of_channels(network.channel_groups)
    check(found)
    for saliency, group in zip(found, network.channel_groups, strict=True):
        kept = [group.channels - count for count in saliency.amounts]
        assert kept[0] == group.channels
        assert all(count % 16 == 0 and count >= 16 for count in kept[1:])
        assert sorted(set(saliency.order)) == sorted(saliency.order)
        assert len(saliency.order) == group.channels - kept[-1]


def test_channels_that_nobody_reads_go_first_and_cost_nothing(network: DenseNetwork, meter: SaliencyMeter) -> None:
    found = {saliency.name: saliency for saliency in meter.of_channels(network.channel_groups)}
    saliency = found["blocks.3.0.conv_pwl"]
    dead = next(group for group in network.channel_groups if group.name == saliency.name).channels // 2
    assert set(saliency.order[:dead]) == set(range(dead))
    noise = dict(zip(saliency.amounts, saliency.noise, strict=True))
    free = max(count for count in saliency.amounts if count <= dead)
    assert noise[free] < 1e-6 * saliency.noise[-1]


def test_prediction_is_the_noise_of_a_layer_that_lost_its_weights(network: DenseNetwork, meter: SaliencyMeter) -> None:
    """Seven tenths of one layer, as chosen and refitted, put into the PyTorch network."""
    layer = next(layer for layer in network.prunable_layers if layer.name == "conv_head")
    (saliency,) = meter.of_weights([layer])
    probes = [meter._with_zeros(layer, observed) for _, observed in meter._observed([layer])]
    replaced = {key: transform(torch.zeros(())) for key, transform in probes[0].overrides.items()}
    images = labelled_images(64, fitted=64).fitted.batches[:2]
    model = copy.deepcopy(network.detector.module)
    # The exported weight has the batch norm behind it folded in.
    norm = model.bn2
    model.conv_head.weight.data = replaced["conv_head", 1].reshape(model.conv_head.weight.shape)
    norm.running_mean.zero_()
    norm.running_var.fill_(1 - norm.eps)
    norm.weight.data.fill_(1.0)
    norm.bias.data = replaced["conv_head", 2]
    with torch.inference_mode():
        pruned, dense = (
            torch.cat([module(batch) for batch in images]).double().numpy().ravel()
            for module in (model, network.detector.module)
        )
    line = np.polynomial.Polynomial.fit(pruned, dense, 1)
    expected = float(np.mean((line(pruned) - dense) ** 2))
    assert dict(zip(saliency.amounts, saliency.noise, strict=True))[0.7] == pytest.approx(expected, rel=0.01)


def noise_of(network: DenseNetwork, shares: dict[str, float], images: Sequence[torch.Tensor]) -> float:
    """Takes shares of layers away, each refitted to its dense input, and runs the graph in the INT8 search's engine."""
    overrides = {}
    meter = SaliencyMeter(network.graph, network.geometries, network.biases, images, images[:2])
    layers = [layer for layer in network.prunable_layers if layer.name in shares]
    for layer, observed in meter._observed(layers):
        weight = network.graph.constants[layer.weight].flatten(1).unsqueeze(0).double()
        found = CheapestZeros(weight, observed.moments.disturbed).zeroed(shares[layer.name])
        overrides |= meter._replaced(layer, weight, found, observed)
    pruned, dense = (
        np.concatenate([network.graph.logits(batch, given).numpy() for batch in images[:2]]).astype(float)
        for given in (overrides, None)
    )
    return float(np.mean((np.polynomial.Polynomial.fit(pruned, dense, 1)(pruned) - dense) ** 2))


def test_prediction_holds_away_from_the_probe_and_for_all_layers_together(
    network: DenseNetwork, meter: SaliencyMeter
) -> None:
    """Within a factor of four, 6 dB: enough to share a budget out, and why variants are judged once they are built."""
    images = labelled_images(64, fitted=64).fitted.batches
    found = {s.name: dict(zip(s.amounts, s.noise, strict=True)) for s in meter.of_weights(network.prunable_layers)}
    ratios = [
        noise_of(network, {name: share}, images) / found[name][share]
        for name in list(found)[::4]
        for share in (0.3, 0.85)
    ]
    assert 0.5 < float(np.median(ratios)) < 2
    assert all(1 / 4 < ratio < 4 for ratio in ratios), ratios
    together = noise_of(network, dict.fromkeys(found, 0.3), images)
    assert 1 / 4 < together / sum(noise[0.3] for noise in found.values()) < 4
