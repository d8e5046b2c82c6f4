from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from calibration.errors import QuantizationError
from calibration.layers import Role
from calibration.placement import Consumer, Placement, PlacementPolicy, placement_from_graph
from tests.calibration.planted import EVERYTHING

if TYPE_CHECKING:
    import onnx

GOLDEN = Path(__file__).parents[1] / "golden" / "placement_efficientnet_b0.txt"
REGENERATE = "REGENERATE_GOLDEN"


def text_from_placement(placement: Placement) -> str:
    """Writes a placement as a reviewer wants to read it."""
    lines = ["quantized tensors and who reads them as INT8"]
    for activation in placement.activations:
        readers = ", ".join(f"{consumer.node}[{consumer.index}]" for consumer in activation.consumers)
        lines.append(f"  {activation.tensor} -> {readers}")
    lines.append("quantized weights")
    lines += [f"  {layer.weight} axis {layer.channel_axis} ({layer.role.value})" for layer in placement.layers]
    lines.append("float layers")
    lines += [f"  {layer.name} ({layer.role.value}): {layer.reason}" for layer in placement.float_layers]
    return "\n".join(lines) + "\n"


def test_placement_of_efficientnet_b0_is_the_reviewed_one(b0_model: onnx.ModelProto) -> None:
    text = text_from_placement(placement_from_graph(b0_model.graph, PlacementPolicy()))
    if os.environ.get(REGENERATE):
        GOLDEN.write_text(text, encoding="utf-8")
    assert text == GOLDEN.read_text(encoding="utf-8"), f"review the change, then run with {REGENERATE}=1"


@pytest.mark.parametrize("policy", [PlacementPolicy(), EVERYTHING, replace(EVERYTHING, residual=False)])
def test_every_layer_is_either_quantized_or_float(b0_model: onnx.ModelProto, policy: PlacementPolicy) -> None:
    placement = placement_from_graph(b0_model.graph, policy)
    quantized = [layer.name for layer in placement.layers]
    kept = [layer.name for layer in placement.float_layers]
    operators = [node.name for node in b0_model.graph.node if node.op_type in ("Conv", "Gemm")]
    assert sorted(quantized + kept) == sorted(operators)
    read = {consumer.node for activation in placement.activations for consumer in activation.consumers}
    additions = {node.name for node in b0_model.graph.node if node.op_type == "Add"}
    assert read - additions == set(quantized)
    assert (read & additions == additions) is policy.residual


@pytest.mark.parametrize("role", [Role.STEM, Role.DEPTHWISE, Role.SQUEEZE_EXCITE, Role.HEAD, Role.CLASSIFIER])
def test_each_role_has_its_switch(b0_model: onnx.ModelProto, role: Role) -> None:
    switch: dict[str, Any] = {role.value.replace("-", "_"): False}
    kept = placement_from_graph(b0_model.graph, replace(EVERYTHING, **switch)).float_layers
    assert {layer.role for layer in kept} == {role}
    assert all(role.value in layer.reason for layer in kept)


def test_nothing_between_a_layer_and_its_activation(b0_model: onnx.ModelProto) -> None:
    producers = {output: node for node in b0_model.graph.node for output in node.output}
    nodes = {node.name: node for node in b0_model.graph.node}
    for activation in placement_from_graph(b0_model.graph, EVERYTHING).activations:
        assert {nodes[consumer.node].op_type for consumer in activation.consumers} <= {"Conv", "Gemm", "Add"}
        producer = producers.get(activation.tensor)
        assert producer is None or producer.op_type != "Sigmoid"


def test_tensor_shared_by_layer_and_residual_has_one_pair(b0_model: onnx.ModelProto) -> None:
    placement = placement_from_graph(b0_model.graph, PlacementPolicy())
    by_tensor = {activation.tensor: activation.consumers for activation in placement.activations}
    assert len(by_tensor) == len(placement.activations)
    assert by_tensor["blocks.1.0.conv_pwl.out"] == (Consumer("blocks.1.1.conv_pw", 0), Consumer("blocks.1.1/Add", 1))


def test_residual_of_a_float_branch_stays_float(b0_model: onnx.ModelProto) -> None:
    policy = PlacementPolicy(float_layers=("blocks.1.1.conv_pwl",))
    placement = placement_from_graph(b0_model.graph, policy)
    assert not any(c.node == "blocks.1.1/Add" for activation in placement.activations for c in activation.consumers)


def test_patterns_and_weight_size_keep_layers_float(b0_model: onnx.ModelProto) -> None:
    policy = PlacementPolicy(float_layers=("blocks.0.*", "*.conv_pwl"), smallest_weight=20_000)
    placement = placement_from_graph(b0_model.graph, policy)
    assert not any(layer.name.startswith("blocks.0.") or "pwl" in layer.name for layer in placement.layers)
    reasons = {layer.name: layer.reason for layer in placement.float_layers}
    assert reasons["blocks.5.0.conv_pwl"] == "matches *.conv_pwl"
    assert reasons["blocks.1.0.conv_pw"] == "has 1536 weights, fewer than 20000"


def test_pattern_without_a_layer_is_refused(b0_model: onnx.ModelProto) -> None:
    with pytest.raises(QuantizationError, match=r"'block\.0\.\*' matches no layer; names look like conv_stem"):
        placement_from_graph(b0_model.graph, PlacementPolicy(float_layers=("block.0.*",)))
