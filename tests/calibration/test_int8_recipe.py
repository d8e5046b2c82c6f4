from __future__ import annotations

import json
import math
from typing import Any

import pytest

from calibration.errors import QuantizationError
from calibration.int8_recipe import RECIPES, Int8Recipe
from calibration.placement import placement_from_graph
from tests.calibration.small_networks import small_network


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "magic"}, "unknown INT8 recipe 'magic'; expected one of accurate, fast, full, minmax"),
        ({"max_size_mib": 0}, "a size limit of 0 MiB; expected more than 0"),
        ({"max_size_mib": -3}, "a size limit of -3 MiB; expected more than 0"),
        ({"max_size_mib": math.nan}, "a size limit of nan MiB; expected more than 0"),
        ({"max_auc_drop": 0}, "an AUC drop of 0; expected more than 0 and less than 0.5"),
        ({"max_auc_drop": 0.5}, "an AUC drop of 0.5; expected more than 0 and less than 0.5"),
        ({"max_auc_drop": math.nan}, "an AUC drop of nan; expected more than 0 and less than 0.5"),
    ],
)
def test_bad_values_are_refused_with_one_line(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(QuantizationError) as refused:
        Int8Recipe(**changes)
    assert str(refused.value) == message


def test_what_each_recipe_puts_into_int8() -> None:
    """Reviewed: how many layers of a network of twelve are INT8, weights only, float."""
    found = {}
    for name in RECIPES:
        placement = placement_from_graph(small_network().graph, Int8Recipe(name).policy)
        found[name] = (len(placement.layers), len(placement.weight_only), len(placement.float_layers))
    assert found == {"accurate": (4, 8, 0), "fast": (4, 8, 0), "full": (11, 0, 1), "minmax": (12, 0, 0)}


@pytest.mark.parametrize("name", RECIPES)
def test_record_is_json_and_tells_recipes_apart(name: Any) -> None:
    record = Int8Recipe(name, keep_float=("head",)).to_dict()
    assert json.loads(json.dumps(record))["keep_float"] == ["head"]
    others = [Int8Recipe(other).to_dict() for other in RECIPES if other != name]
    assert Int8Recipe(name).to_dict() not in others


def test_pins_join_the_policy() -> None:
    recipe = Int8Recipe("fast", keep_float=("head", "*.project"))
    placement = placement_from_graph(small_network().graph, recipe.policy_with_pins)
    assert [layer.name for layer in placement.layers] == ["second.pointwise"]
    assert {layer.name for layer in placement.float_layers} == {"head", "first.project", "second.project"}
    assert (Int8Recipe("minmax").repairs, Int8Recipe("full").repairs) == (False, True)
    assert [name for name in RECIPES if Int8Recipe(name).searches] == ["accurate"]
