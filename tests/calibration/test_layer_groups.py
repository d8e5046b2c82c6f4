from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from onnx import helper
from torch import nn

from calibration.layer_groups import groups_from_graph
from calibration.layers import Role
from tests.calibration.small_networks import copied, images_for_tests, logits_of, small_network
from tests.detectors import random_detector

if TYPE_CHECKING:
    import onnx


def names_of(model: onnx.ModelProto) -> list[tuple[str, ...]]:
    groups = groups_from_graph(model)
    return [tuple(layer.name for layer in group.layers) for group in groups]


EXPECTED = [
    ("stem",),
    ("first.depthwise",),
    ("first.gate.reduce", "first.gate.expand"),
    ("first.project",),
    ("second.pointwise",),
    ("second.depthwise",),
    ("second.gate.reduce", "second.gate.expand"),
    ("second.project",),
    ("head",),
    ("fc",),
]


def test_gates_are_one_group_and_others_stand_alone() -> None:
    assert names_of(small_network()) == EXPECTED


def test_global_average_pooling_ends_a_gate_too() -> None:
    """The walk from the second gate must not go on to the first."""
    model, images = copied(small_network()), images_for_tests(2)
    for node in model.graph.node:
        if node.op_type == "ReduceMean":
            node.CopyFrom(helper.make_node("GlobalAveragePool", [node.input[0]], list(node.output), name=node.name))
    np.testing.assert_allclose(logits_of(model, images), logits_of(small_network(), images), atol=1e-5)
    assert names_of(model) == EXPECTED


def test_operations_are_those_that_hooks_count_in_pytorch(b0_model: onnx.ModelProto) -> None:
    counted: dict[str, int] = {}

    def hook(name: str) -> object:
        def count(module: nn.Module, _: object, output: torch.Tensor) -> None:
            weight = module.weight
            assert isinstance(weight, torch.Tensor)
            counted[name] = weight[0].numel() * output[0].numel()

        return count

    module = random_detector(architecture="efficientnet_b0", size=64).module
    for name, layer in module.named_modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            layer.register_forward_hook(hook(name))  # type: ignore[arg-type]
    with torch.inference_mode():
        module(torch.zeros(1, 3, 64, 64))
    groups = groups_from_graph(b0_model)
    assert {n for group in groups for n in (layer.name for layer in group.layers)} == set(counted)
    for group in groups:
        assert group.macs == sum(counted[layer.name] for layer in group.layers), group.name
    gates = [group for group in groups if group.role is Role.SQUEEZE_EXCITE]
    assert len(gates) == 16
    assert all(len(group.layers) == 2 for group in gates)
    assert sum(group.weights for group in groups) == sum(p.numel() for p in module.parameters() if p.ndim > 1)
    expanded = next(group for group in gates if group.name == "blocks.0.0.se.conv_reduce")
    assert expanded.channels == pytest.approx(8 + 32)
