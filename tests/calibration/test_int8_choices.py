from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest

from calibration.errors import QuantizationError
from calibration.int8_choices import MIB, arithmetics_of, frontier, group_bytes, require_known_patterns, settled
from calibration.int8_from_table import int8_from_fp32
from calibration.int8_recipe import Int8Recipe
from calibration.layer_groups import LayerGroup, groups_from_graph
from calibration.placement import Arithmetic, Choice, placement_from_choices
from export.half_precision import fp16_from_fp32
from tests.calibration.planted import DIGEST, planted_table
from tests.calibration.small_networks import SIZE, small_network

if TYPE_CHECKING:
    import onnx

UNLIMITED = 1e12


def groups_of(model: onnx.ModelProto, size: int = SIZE) -> tuple[LayerGroup, ...]:
    return groups_from_graph(model)


def heavy_groups() -> tuple[LayerGroup, ...]:
    """Groups with as many weights as those of a real network, where INT8 saves bytes."""
    return tuple(replace(group, weights=2_000 * group.weights) for group in groups_of(small_network()))


def planted_noises(groups: tuple[LayerGroup, ...], seed: int = 0) -> dict[tuple[str, Arithmetic], float]:
    rng = np.random.default_rng(seed)
    found = {}
    for group in groups:
        noise = float(10 ** rng.uniform(-3, 0))
        found[group.name, Arithmetic.INT8] = noise
        found[group.name, Arithmetic.INT8_WEIGHTS] = noise / 30
    return found


def arithmetic_by_layer(recipe: Int8Recipe, max_noise: float, max_bytes: float = UNLIMITED) -> dict[str, str]:
    groups = heavy_groups()
    settlement = settled(groups, planted_noises(groups), recipe, max_noise, max_bytes)
    return {name: choice.arithmetic.value for name, choice in settlement.choices.items()}


def test_without_limits_all_that_is_worth_it_computes_in_int8() -> None:
    found = arithmetic_by_layer(Int8Recipe(), UNLIMITED)
    assert {name for name, kind in found.items() if kind == "int8"} == {
        "first.project",
        "second.pointwise",
        "second.project",
        "head",
    }
    assert found["fc"] == "float"
    assert found["stem"] == found["first.depthwise"] == found["first.gate.expand"] == "int8-weights"


def test_without_any_noise_allowed_everything_is_float() -> None:
    assert set(arithmetic_by_layer(Int8Recipe(), 1e-12).values()) == {"float"}


def test_pins_are_kept_whatever_the_limits() -> None:
    recipe = Int8Recipe(keep_float=("head", "first.gate.reduce"), quantize=("stem", "fc"))
    for max_noise in (1e-12, UNLIMITED):
        found = arithmetic_by_layer(recipe, max_noise)
        assert found["head"] == found["first.gate.reduce"] == found["first.gate.expand"] == "float"
        assert found["stem"] == found["fc"] == "int8"


def test_every_layer_that_is_not_int8_has_a_reason() -> None:
    groups = groups_of(small_network())
    for max_noise in (1e-12, 0.05, UNLIMITED):
        recipe = Int8Recipe(keep_float=("head",))
        choices = settled(groups, planted_noises(groups), recipe, max_noise, UNLIMITED).choices
        assert choices.keys() == {layer.name for group in groups for layer in group.layers}
        for choice in choices.values():
            assert bool(choice.reason) is (choice.arithmetic is not Arithmetic.INT8)
        assert choices["head"].reason == "kept float by --keep-float"


def test_contradicting_pins_are_refused() -> None:
    group = next(group for group in groups_of(small_network()) if group.name == "head")
    with pytest.raises(QuantizationError, match="head matches both --keep-float and --quantize"):
        arithmetics_of(group, Int8Recipe(keep_float=("h*",), quantize=("*ad",)))


@pytest.mark.parametrize("field", ["keep_float", "quantize"])
def test_pattern_that_matches_nothing_is_refused(field: str) -> None:
    with pytest.raises(QuantizationError, match="'blocks' matches no layer; names look like stem"):
        require_known_patterns(groups_of(small_network()), Int8Recipe(**{field: ("blocks",)}))


def test_frontier_is_the_best_at_each_size_and_marks_the_chosen_one() -> None:
    groups = heavy_groups()
    noises = planted_noises(groups, 1)
    settlement = settled(groups, noises, Int8Recipe(), 0.05, UNLIMITED)
    points = frontier(settlement, 1000, 10.0, sum(group.macs for group in groups))
    (chosen,) = [point for point in points if point.chosen]
    assert chosen.sqnr_db == pytest.approx(10 * np.log10(10.0 / settlement.assignment.noise))
    assert chosen.size_mib == pytest.approx((1000 + settlement.assignment.size_bytes) / MIB)
    int8 = sum(g.macs for g in groups if settlement.choices[g.layers[0].name].arithmetic is Arithmetic.INT8)
    assert chosen.int8_mac_share == pytest.approx(int8 / sum(group.macs for group in groups))
    for weight_only in (True, False):
        curve = sorted((p.size_mib, p.sqnr_db) for p in points if p.weight_only is weight_only and not p.chosen)
        assert len(curve) > 4
        assert all(b[1] >= a[1] - 1e-3 for a, b in pairwise(curve))
        largest = max(curve)
        assert largest[1] == pytest.approx(100)  # everything float: no noise, shown as the ceiling
    # Depthwise layers and gates store INT8 weights or none, so that without those the file stays larger.
    smallest = {kind: min(p.size_mib for p in points if p.weight_only is kind) for kind in (True, False)}
    assert smallest[True] < smallest[False]


def test_estimated_bytes_are_those_of_the_written_file(b0_model: onnx.ModelProto) -> None:
    groups = groups_of(b0_model, 64)
    rng = np.random.default_rng(0)
    base = fp16_from_fp32(b0_model).ByteSize() - sum(2 * group.weights for group in groups)
    for _ in range(3):
        kinds = {group.name: Arithmetic(rng.choice([kind.value for kind in Arithmetic])) for group in groups}
        kinds["classifier"] = Arithmetic.FLOAT
        choices = {layer.name: Choice(kinds[group.name]) for group in groups for layer in group.layers}
        placement = placement_from_choices(b0_model.graph, choices, residual=False)
        written = fp16_from_fp32(int8_from_fp32(b0_model, planted_table(placement, rng), placement, DIGEST))
        estimated = base + sum(group_bytes(group, kinds[group.name]) for group in groups)
        assert estimated == pytest.approx(written.ByteSize(), rel=0.01)
