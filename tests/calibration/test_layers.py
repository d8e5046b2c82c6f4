from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from calibration.errors import QuantizationError
from calibration.layers import Role, layers_from_graph
from calibration.residuals import residuals_from_graph
from tests.detectors import random_detector
from tests.exports import exported

if TYPE_CHECKING:
    import onnx

    from export.checkpoint import Detector


Kind = TypeVar("Kind", bound=nn.Module)


def named(model: onnx.ModelProto, role: Role) -> set[str]:
    return {layer.name for layer in layers_from_graph(model.graph) if layer.role is role}


def modules(detector: Detector, kind: type[Kind]) -> dict[str, Kind]:
    return {name: module for name, module in detector.module.named_modules() if isinstance(module, kind)}


@pytest.fixture(scope="module")
def b0_detector() -> Detector:
    return random_detector(architecture="efficientnet_b0", size=64)


def test_every_layer_of_the_module_is_found(b0_model: onnx.ModelProto, b0_detector: Detector) -> None:
    layers = layers_from_graph(b0_model.graph)
    expected = {name: layer.weight for name, layer in modules(b0_detector, nn.Conv2d).items()}
    expected |= {name: layer.weight for name, layer in modules(b0_detector, nn.Linear).items()}
    assert {layer.name for layer in layers} == set(expected)
    for layer in layers:
        weight = expected[layer.name]
        assert (layer.weight_shape, layer.channel_axis) == (tuple(weight.shape), 0)
        assert layer.weight_count == weight.numel()


def test_roles_agree_with_the_module(b0_model: onnx.ModelProto, b0_detector: Detector) -> None:
    convolutions = modules(b0_detector, nn.Conv2d)
    depthwise = {name for name, conv in convolutions.items() if conv.groups == conv.in_channels > 1}
    assert named(b0_model, Role.DEPTHWISE) == depthwise
    assert named(b0_model, Role.SQUEEZE_EXCITE) == {name for name in convolutions if ".se." in name}
    assert named(b0_model, Role.STEM) == {"conv_stem"}
    assert named(b0_model, Role.HEAD) == {"conv_head"}
    assert named(b0_model, Role.CLASSIFIER) == {"classifier"}


def test_residuals_are_the_blocks_with_a_skip(b0_model: onnx.ModelProto, b0_detector: Detector) -> None:
    skips = {name for name, module in b0_detector.module.named_modules() if getattr(module, "has_skip", False)}
    residuals = residuals_from_graph(b0_model.graph)
    assert {residual.branch_layer.rpartition(".")[0] for residual in residuals} == skips
    # The identity of block i.j is what block i.j-1 made: its projection, or its own addition.
    for residual in residuals:
        stage, block = residual.branch_layer.split(".")[1:3]
        assert residual.tensor.startswith(f"blocks.{stage}.{int(block) - 1}")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("architecture", "gate", "residual_count"),
    [("mobilenetv3_small_050", ".se.", 7), ("test_byobnet", ".attn", 2), ("test_resnet", ".nothing.", 4)],
)
def test_other_backbones_follow_the_same_rules(architecture: str, gate: str, residual_count: int) -> None:
    """HardSigmoid gates, gates after the last convolution of a block, downsampled identities, no gate at all."""
    detector = random_detector(architecture=architecture)
    model = exported(detector)
    convolutions = modules(detector, nn.Conv2d)
    assert named(model, Role.SQUEEZE_EXCITE) == {name for name in convolutions if gate in name}
    assert len(named(model, Role.STEM)) == len(named(model, Role.CLASSIFIER)) == 1
    residuals = residuals_from_graph(model.graph)
    assert len(residuals) == residual_count
    assert not any(residual.branch_layer.endswith(("shortcut.conv.conv", "downsample.1")) for residual in residuals)


def graph_of(nodes: list[onnx.NodeProto], weights: dict[str, tuple[int, ...]]) -> onnx.GraphProto:
    """Makes a graph from `x` to `y` with constant weights of given shapes."""
    return helper.make_graph(
        nodes,
        "planted",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 8])],
        [numpy_helper.from_array(torch.zeros(shape).numpy(), name) for name, shape in weights.items()],
    )


def test_channel_axis_follows_the_layout_of_the_weight() -> None:
    nodes = [
        helper.make_node("Gemm", ["x", "a"], ["t"], name="rows", transB=1),
        helper.make_node("Gemm", ["t", "b"], ["u"], name="columns"),
        helper.make_node("MatMul", ["u", "c"], ["v"], name="product"),
        helper.make_node("MatMul", ["v", "v"], ["y"], name="no constant"),
    ]
    layers = layers_from_graph(graph_of(nodes, {"a": (4, 8), "b": (4, 5), "c": (5, 8)}))
    assert [(layer.name, layer.channel_axis) for layer in layers] == [("rows", 0), ("columns", 1), ("product", 1)]


def test_addition_of_equally_deep_branches_has_no_identity() -> None:
    nodes = [
        helper.make_node("Gemm", ["x", "a"], ["t"], name="left"),
        helper.make_node("Gemm", ["x", "a"], ["u"], name="right"),
        helper.make_node("Add", ["t", "u"], ["y"], name="sum"),
    ]
    assert residuals_from_graph(graph_of(nodes, {"a": (8, 8)})) == ()


@pytest.mark.parametrize(
    ("names", "message"), [(("same", "same"), "named 'same'"), (("one", ""), "Gemm node has no name")]
)
def test_nodes_need_names(names: tuple[str, str], message: str) -> None:
    nodes = [
        helper.make_node("Gemm", ["x", "a"], ["t"], name=names[0]),
        helper.make_node("Gemm", ["t", "a"], ["y"], name=names[1]),
    ]
    with pytest.raises(QuantizationError, match=message):
        layers_from_graph(graph_of(nodes, {"a": (8, 8)}))
