"""Channels that nothing reads can be removed without a trace, and Torch-Pruning removes the same."""

from __future__ import annotations

import copy
from itertools import pairwise

import numpy as np
import pytest
import torch
import torch_pruning as tp
from safetensors.torch import save_file

from export.checkpoint import Detector, detector_from_checkpoint
from export.errors import CheckpointError
from pruning.channel_groups import channel_groups_from_graph, kept_channels
from pruning.channel_removal import parameters_per_channel, without_channels
from pruning.making import macs_of
from tests.detectors import random_detector
from tests.exports import exported

IMAGES = torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(5))


@pytest.fixture(scope="module", params=["test_efficientnet", "mobilenetv3_small_050"])
def dense(request: pytest.FixtureRequest) -> Detector:
    return random_detector(seed=2, architecture=request.param)


def drawn(detector: Detector, share: float) -> dict[str, list[int]]:
    rng = np.random.default_rng(0)
    groups = channel_groups_from_graph(exported(detector).graph)
    assert groups
    return {
        group.name: sorted(rng.choice(group.channels, int(share * group.channels), replace=False).tolist())
        for group in groups
    }


def with_deaf_readers(detector: Detector, removed: dict[str, list[int]]) -> Detector:
    """Makes the readers of channels ignore them."""
    module = copy.deepcopy(detector.module)
    for group in channel_groups_from_graph(exported(detector).graph):
        for reader in group.readers:
            module.get_submodule(reader.name).weight.data[:, removed[group.name]] = 0
    return Detector(module, detector.contract, "")


def test_channels_that_nothing_reads_leave_no_trace(dense: Detector) -> None:
    removed = drawn(dense, 0.4)
    deaf = with_deaf_readers(dense, removed)
    groups = channel_groups_from_graph(exported(dense).graph)
    narrow = without_channels(deaf, groups, removed)
    with torch.inference_mode():
        torch.testing.assert_close(narrow.module(IMAGES), deaf.module(IMAGES), rtol=1e-4, atol=1e-5)
        assert not torch.allclose(deaf.module(IMAGES), dense.module(IMAGES), atol=1e-2)
    expected = sum(
        len(removed[name]) * count for name, count in parameters_per_channel(dense.module, 64, groups).items()
    )
    assert dense.parameter_count - narrow.parameter_count == expected > 0
    assert macs_of(narrow) < macs_of(dense)


def test_torch_pruning_removes_the_same(dense: Detector) -> None:
    removed = drawn(dense, 0.3)
    groups = channel_groups_from_graph(exported(dense).graph)
    own = without_channels(dense, groups, removed)
    module = copy.deepcopy(dense.module)
    dependencies = tp.DependencyGraph().build_dependency(module, example_inputs=IMAGES[:1])
    for group in groups:
        first = module.get_submodule(group.writers[0].name)
        dependencies.get_pruning_group(first, tp.prune_conv_out_channels, removed[group.name]).prune()
    with torch.inference_mode():
        torch.testing.assert_close(own.module(IMAGES), module(IMAGES), rtol=1e-4, atol=1e-5)
    assert own.parameter_count == sum(parameter.numel() for parameter in module.parameters())
    macs, parameters = tp.utils.count_ops_and_params(own.module, IMAGES[:1])
    assert parameters == own.parameter_count
    assert macs_of(own) == pytest.approx(macs, rel=0.05)  # Torch-Pruning also counts batch norms and additions


def test_narrow_network_survives_a_file(dense: Detector, tmp_path) -> None:
    groups = channel_groups_from_graph(exported(dense).graph)
    narrow = without_channels(dense, groups, drawn(dense, 0.5))
    path = tmp_path / "narrow.safetensors"
    save_file(narrow.module.state_dict(), path)
    with pytest.raises(CheckpointError, match="another shape"):
        detector_from_checkpoint(path, dense.contract)
    loaded = detector_from_checkpoint(path, dense.contract, narrowed=True)
    with torch.inference_mode():
        assert torch.equal(loaded.module(IMAGES), narrow.module(IMAGES))
    graph = exported(loaded)
    assert sum(int(np.prod(t.dims)) for t in graph.graph.initializer) < 1.05 * narrow.parameter_count


def test_wider_weights_than_the_network_are_refused(tmp_path) -> None:
    detector = random_detector(seed=1)
    state = detector.module.state_dict()
    state["conv_stem.weight"] = torch.zeros(2 * len(state["conv_stem.weight"]), 3, 3, 3)
    path = tmp_path / "wide.safetensors"
    save_file(state, path)
    with pytest.raises(CheckpointError, match=r"conv_stem\.weight"):
        detector_from_checkpoint(path, detector.contract, narrowed=True)


def test_residual_stream_head_and_stem_are_no_groups(dense: Detector) -> None:
    groups = channel_groups_from_graph(exported(dense).graph)
    written = {layer.name for group in groups for layer in group.writers}
    assert not written & {"conv_stem", "conv_head", "classifier"}
    assert {name.rsplit(".", 1)[1] for name in written} >= {"conv_pw", "conv_dw"}
    layers = [layer.name for group in groups for layer in (*group.writers, *group.readers)]
    assert len(layers) == len(set(layers))


@pytest.mark.parametrize("channels", [*range(1, 70), 144, 240, 384, 768, 1056, 1824, 3072])
def test_kept_channels_are_multiples_and_never_all_gone(channels: int) -> None:
    kept = kept_channels(channels)
    assert kept[0] == channels
    assert list(kept) == sorted(set(kept), reverse=True)
    assert all(count % 16 == 0 and count >= max(16, channels / 16) for count in kept[1:])
    steps = {earlier - later for earlier, later in pairwise(kept[1:])}
    assert len(steps) <= 1
    if channels >= 144:
        assert kept[-1] <= 0.17 * channels
        assert 8 <= len(kept) <= 17


@pytest.mark.parametrize("architecture", ["regnety_002", "regnetx_002"])
def test_grouped_convolutions_that_are_not_depthwise_keep_their_channels(architecture: str) -> None:
    graph = exported(random_detector(architecture=architecture)).graph
    grouped = {node.name for node in graph.node if any(a.name == "group" and a.i > 1 for a in node.attribute)}
    groups = channel_groups_from_graph(graph)
    assert grouped
    assert not any(layer.name in grouped for group in groups for layer in (*group.writers, *group.readers))
