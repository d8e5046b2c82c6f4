"""The whole way from a graph and images to an INT8 variant, on a network with channels that plain INT8 drowns."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from onnx import TensorProto

from calibration.errors import QuantizationError
from calibration.int8_making import make_int8
from calibration.int8_recipe import Int8Recipe
from calibration.layers import Role
from calibration.qdq_lint import lint_qdq
from tests.calibration.small_networks import logits_of
from tests.calibration.workbench import Made, labelled_images, made_int8, with_hidden_wide_channels

if TYPE_CHECKING:
    import onnx

    from calibration.int8_images import Int8Images

SIZE = 64
LIMIT_MIB = 0.2


@pytest.fixture(scope="module")
def images() -> Int8Images:
    return labelled_images(SIZE)


@pytest.fixture(scope="module")
def wide_model(request: pytest.FixtureRequest) -> onnx.ModelProto:
    return with_hidden_wide_channels(request.getfixturevalue("_exported"), 60)


@pytest.fixture(scope="module")
def made(wide_model: onnx.ModelProto, images: Int8Images) -> dict[str, Made]:
    recipes = [Int8Recipe("accurate", max_size_mib=LIMIT_MIB), *(Int8Recipe(n) for n in ("fast", "full", "minmax"))]
    return {recipe.name: made_int8(wide_model, recipe, images) for recipe in recipes}


def measured_sqnr(model: onnx.ModelProto, written: onnx.ModelProto, images: Int8Images) -> float:
    """Logit SQNR by its definition: ONNX Runtime on both graphs, variance within classes by NumPy."""
    fitted, judging = (torch.cat(part.batches).numpy() for part in (images.fitted, images.judging))
    expected, got = logits_of(model, judging).astype(np.float64), logits_of(written, judging)
    every = np.concatenate([logits_of(model, fitted), expected])
    labels = np.concatenate([images.fitted.is_fake, images.judging.is_fake])
    residual = np.concatenate([every[labels == label] - every[labels == label].mean() for label in (True, False)])
    return float(10 * np.log10(np.mean(residual**2) / np.mean((got - expected) ** 2)))


def test_hidden_wide_channels_leave_the_function_alone(
    wide_model: onnx.ModelProto, request: pytest.FixtureRequest, images: Int8Images
) -> None:
    plain, judging = request.getfixturevalue("_exported"), torch.cat(images.judging.batches).numpy()
    np.testing.assert_allclose(logits_of(wide_model, judging), logits_of(plain, judging), atol=1e-4)


@pytest.mark.parametrize("name", ["accurate", "fast", "full"])
def test_repaired_variants_are_far_closer_to_fp32_than_minmax(made: dict[str, Made], name: str) -> None:
    assert made[name].variant.record.sqnr_db > made["minmax"].variant.record.sqnr_db + 12


@pytest.mark.parametrize("name", ["accurate", "fast", "full", "minmax"])
def test_record_says_what_the_graph_does(
    made: dict[str, Made], name: str, wide_model: onnx.ModelProto, images: Int8Images
) -> None:
    variant = made[name].variant
    record = variant.record
    assert record.sqnr_db == pytest.approx(measured_sqnr(wide_model, variant.model, images), abs=0.1)
    assert record.size_mib == variant.model.ByteSize() / 2**20
    assert (record.fitted_images, record.held_back_images) == (48, 48)
    judging = torch.cat(images.judging.batches).numpy()
    decisions = [logits_of(graph, judging) >= 0 for graph in (wide_model, variant.model)]
    assert record.flipped == np.sum(decisions[0] != decisions[1])
    assert lint_qdq(variant.model) == ()
    assert [step.kept for step in record.repairs] == [s.sqnr_after_db > s.sqnr_before_db for s in record.repairs]
    assert bool(record.repairs) is (name != "minmax")


def stored_kinds(model: onnx.ModelProto) -> dict[str, str]:
    """Reads from the graph how each layer is stored and computed."""
    makers = {output: node for node in model.graph.node for output in node.output}
    types = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    found = {}
    for node in model.graph.node:
        if node.op_type not in ("Conv", "Gemm"):
            continue
        activation, weight = makers.get(node.input[0]), makers.get(node.input[1])
        dequantized = weight is not None and types.get(weight.input[0]) == TensorProto.INT8
        read = activation is not None and activation.op_type == "DequantizeLinear"
        found[node.name] = "int8" if dequantized and read else "int8-weights" if dequantized else "float"
    return found


@pytest.mark.parametrize("name", ["accurate", "fast", "full", "minmax"])
def test_record_and_placement_agree_with_the_graph(made: dict[str, Made], name: str) -> None:
    variant = made[name].variant
    kinds = stored_kinds(variant.model)
    assert {layer: group.arithmetic for group in variant.record.groups for layer in group.layers} == kinds
    placement = {layer.name: "int8" for layer in variant.placement.layers}
    placement |= {layer.name: "int8-weights" for layer in variant.placement.weight_only}
    placement |= {layer.name: "float" for layer in variant.placement.float_layers}
    assert placement == kinds
    assert all(bool(group.reason) is (group.arithmetic != "int8") for group in variant.record.groups)
    assert sum(variant.record.range_methods.values()) == len(variant.placement.activations)
    int8 = sum(group.macs for group in variant.record.groups if group.arithmetic == "int8")
    assert variant.record.int8_mac_share == pytest.approx(int8 / sum(group.macs for group in variant.record.groups))


@pytest.mark.parametrize("name", ["accurate", "full"])
def test_made_again_it_has_the_same_bytes(
    made: dict[str, Made], name: str, wide_model: onnx.ModelProto, images: Int8Images
) -> None:
    recipe = Int8Recipe(name, max_size_mib=LIMIT_MIB)  # type: ignore[arg-type]
    again = made_int8(wide_model, recipe, images).variant
    assert again.model.SerializeToString() == made[name].variant.model.SerializeToString()
    assert again.record == replace(made[name].variant.record, max_size_mib=again.record.max_size_mib)


def test_size_limit_is_obeyed_or_its_miss_is_said(
    made: dict[str, Made], wide_model: onnx.ModelProto, images: Int8Images
) -> None:
    free = made["accurate"].variant.record
    assert free.size_mib <= LIMIT_MIB
    tight = made_int8(wide_model, Int8Recipe(max_size_mib=0.98 * free.size_mib), images).variant.record
    assert tight.size_mib <= 0.98 * free.size_mib or any("more than the limit" in line for line in tight.missed)
    impossible = made_int8(wide_model, Int8Recipe(max_size_mib=0.01), images).variant.record
    assert impossible.size_mib > 0.01
    assert "more than the limit of 0.01" in impossible.missed[0]


def test_pins_are_obeyed(wide_model: onnx.ModelProto, images: Int8Images) -> None:
    kept, quantized = "blocks.2.0.conv_exp", "conv_stem"
    for name in ("accurate", "fast"):
        recipe = Int8Recipe(name, max_size_mib=LIMIT_MIB, keep_float=(kept,), quantize=(quantized,))  # type: ignore[arg-type]
        record = made_int8(wide_model, recipe, images).variant.record
        kinds = {group.name: (group.arithmetic, group.reason) for group in record.groups}
        assert kinds[kept][0] == "float"
        assert "--keep-float" in kinds[kept][1]
        assert kinds[quantized] == ("int8", "")


def test_pattern_that_matches_nothing_is_refused_by_every_recipe(
    made: dict[str, Made], images: Int8Images, wide_model: onnx.ModelProto
) -> None:
    for name in ("accurate", "fast", "full", "minmax"):
        recipe = Int8Recipe(name, quantize=("nothing*",))  # type: ignore[arg-type]
        with pytest.raises(QuantizationError, match="matches no layer"):
            make_int8(made[name].workshop, recipe, None, ())


def test_sensitivity_of_the_record_is_what_was_measured(made: dict[str, Made]) -> None:
    found = made["accurate"]
    measurement, record = found.measurement, found.variant.record
    assert measurement is not None
    logits = np.array(measurement.logits)
    assert len(logits) == 48
    for group in record.groups:
        errors = measurement.errors.get(f"{group.name}|int8")
        assert (group.int8_sqnr_db is None) is (errors is None)
        if errors is not None:
            assert len(errors) == len(logits)
            expected = 10 * np.log10(found.workshop.signal_variance / np.var(errors))
            assert group.int8_sqnr_db == pytest.approx(expected)
        if group.role != Role.CLASSIFIER.value:
            assert group.weights_sqnr_db is not None
            assert group.weights_sqnr_db > 20
    assert any(point.chosen for point in record.frontier)


def test_a_group_put_back_to_floating_point_hardly_ever_harms(made: dict[str, Made]) -> None:
    record = made["accurate"].variant.record
    restored = [group.restored_sqnr_db for group in record.groups if group.restored_sqnr_db is not None]
    assert 0 < len(restored) == sum(group.arithmetic == "int8" for group in record.groups) <= 8
    assert np.mean([sqnr > record.sqnr_db - 0.5 for sqnr in restored]) > 0.7


def test_noise_of_single_groups_adds_up_to_that_of_a_whole_variant(
    made: dict[str, Made], wide_model: onnx.ModelProto, images: Int8Images
) -> None:
    """The assumption of the search, on the images that it measures with."""
    found, measurement = made["fast"].variant, made["accurate"].measurement
    assert measurement is not None
    predicted = sum(
        float(np.var(measurement.errors[f"{group.name}|{group.arithmetic}"]))
        for group in found.record.groups
        if f"{group.name}|{group.arithmetic}" in measurement.errors
    )
    fitted = torch.cat(images.fitted.batches).numpy()
    measured = np.var(logits_of(found.model, fitted).astype(np.float64) - logits_of(wide_model, fitted))
    assert 10 * np.log10(measured / predicted) == pytest.approx(0, abs=3)
