"""Pruning of networks of linear layers, and of those whose weights cannot be written back."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch

from export.onnx_from_torch import onnx_from_torch
from pruning.channel_groups import channel_groups_from_graph
from pruning.channel_removal import without_channels
from pruning.errors import PruningError
from pruning.network import DenseNetwork
from pruning.repair import reconstructed
from pruning.zeros import cheapest
from tests.calibration.small_networks import images_for_tests
from tests.other_networks import other_detector

if TYPE_CHECKING:
    from export.checkpoint import Detector


@pytest.fixture(scope="module")
def transformer() -> Detector:
    return other_detector("test_vit", 32)


@pytest.fixture(scope="module")
def network(transformer: Detector) -> DenseNetwork:
    return DenseNetwork(transformer, onnx_from_torch(transformer))


def test_hidden_channels_of_a_transformer_can_be_removed(transformer: Detector, network: DenseNetwork) -> None:
    """What nothing reads goes without changing the logit."""
    groups = network.channel_groups
    assert [group.name for group in groups] == [f"blocks.{block}.mlp.fc2" for block in range(6)]
    removed = {group.name: tuple(range(index, group.channels, 3)) for index, group in enumerate(groups)}
    state = {name: value.clone() for name, value in transformer.module.state_dict().items()}
    for group in groups:
        state[f"{group.name}.weight"][:, list(removed[group.name])] = 0
    unread = other_detector("test_vit", 32)
    unread.module.load_state_dict(state)
    narrow = without_channels(unread, groups, removed)
    images = torch.from_numpy(images_for_tests(4, 32))
    with torch.inference_mode():
        torch.testing.assert_close(narrow.module(images), unread.module(images), atol=1e-5, rtol=1e-5)
    assert narrow.parameter_count < 0.85 * transformer.parameter_count


def test_fitted_weights_of_linear_layers_return_to_their_modules(network: DenseNetwork) -> None:
    """With half of some weights zero, the repaired module has those zeros and computes what was fitted."""
    names = ["blocks.0.attn.qkv", "blocks.2.mlp.fc1"]
    images = torch.from_numpy(images_for_tests(8, 32, seed=1))
    repaired, masks = reconstructed(network, {name: cheapest(0.5) for name in names}, [images])
    state = repaired.module.state_dict()
    for name in names:
        assert masks[name].shape == state[f"{name}.weight"].shape
        assert float((state[f"{name}.weight"] == 0).float().mean()) == pytest.approx(0.5, abs=0.02)
    with torch.inference_mode():
        dense = network.detector.module(images)
        error = (repaired.module(images) - dense).abs().max()
        crude = replace(network.detector, module=other_detector("test_vit", 32).module)
        for name in names:
            crude.module.get_submodule(name).weight.data *= masks[name]  # type: ignore[operator]  # a parameter
        assert error < 0.7 * (crude.module(images) - dense).abs().max()


def test_a_residual_network_has_groups_too() -> None:
    groups = channel_groups_from_graph(onnx_from_torch(other_detector("test_resnet", 32)).graph)
    assert {group.name for group in groups} >= {"layer1.0.conv2", "layer2.0.conv2"}


def test_standardized_weights_are_refused_by_name() -> None:
    detector = other_detector("test_nfnet", 32)
    with pytest.raises(PruningError, match=r"what stem\.conv1 computes with is not what the checkpoint holds"):
        DenseNetwork(detector, onnx_from_torch(detector))
