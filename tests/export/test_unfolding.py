"""Folded weights written back into a PyTorch network give the network that was exported."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from export.runners import session_from_model
from export.unfolding import batch_norms_behind, state_with_folded_weights
from tests.detectors import random_detector
from tests.exports import exported


def test_batch_norms_of_a_network_are_found() -> None:
    detector = random_detector(seed=1)
    found = batch_norms_behind(detector.module, torch.zeros(1, 3, 64, 64))
    assert found["conv_stem"] == "bn1"
    assert found["conv_head"] == "bn2"
    assert found["blocks.3.0.conv_pw"] == "blocks.3.0.bn1"
    assert found["blocks.3.0.conv_dw"] == "blocks.3.0.bn2"
    assert found["blocks.3.0.conv_pwl"] == "blocks.3.0.bn3"
    assert not any(".se." in name for name in found)


@pytest.mark.parametrize("seed", range(2))
def test_changed_graph_and_changed_network_agree(seed: int) -> None:
    detector = random_detector(seed=seed)
    model = exported(detector)
    rng = np.random.default_rng(seed)
    weights, biases = {}, {}
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type not in ("Conv", "Gemm"):
            continue
        # The exporter drops a bias that is zero.
        biases[node.name] = torch.zeros(constants[node.input[1]].dims[0])
        for name, kept in zip(node.input[1:3], (weights, biases), strict=False):
            values = numpy_helper.to_array(constants[name])
            changed = (values * rng.uniform(0.9, 1.1, values.shape)).astype(np.float32)
            changed[rng.uniform(size=values.shape) < 0.2] = 0
            constants[name].CopyFrom(numpy_helper.from_array(changed, name))
            kept[node.name] = torch.from_numpy(changed)
    image = torch.zeros(1, 3, 64, 64)
    before = {name: value.clone() for name, value in detector.module.state_dict().items()}
    state = state_with_folded_weights(detector.module, image, weights, biases)
    assert all(torch.equal(before[name], value) for name, value in detector.module.state_dict().items())
    detector.module.load_state_dict(state)
    images = rng.standard_normal((4, 3, 64, 64)).astype(np.float32)
    (expected,) = session_from_model(model).run(None, {"image": images})
    with torch.no_grad():
        got = detector.module(torch.from_numpy(images))
    np.testing.assert_allclose(got.numpy().reshape(-1), np.asarray(expected).reshape(-1), atol=1e-4)
    for name, weight in weights.items():
        assert torch.equal(state[f"{name}.weight"] == 0, weight == 0), name


def test_channel_without_gain_is_left_alone() -> None:
    module = nn.Sequential(nn.Conv2d(3, 2, 1, bias=False), nn.BatchNorm2d(2)).eval()
    with torch.no_grad():
        module[1].weight[0] = 0.0
    weights, biases = {"0": torch.ones(2, 3, 1, 1)}, {"0": torch.tensor([5.0, 6.0])}
    state = state_with_folded_weights(module, torch.zeros(1, 3, 4, 4), weights, biases)
    assert torch.equal(state["0.weight"][0], module[0].weight[0])
    module.load_state_dict(state)
    with torch.no_grad():
        np.testing.assert_allclose(module(torch.ones(1, 3, 1, 1)).reshape(-1), [5.0, 9.0], atol=1e-5)
