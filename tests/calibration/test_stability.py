from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from calibration.datasets.celeb_df import samples_from_celeb_df
from calibration.int8_images import fitted_images
from calibration.int8_recipe import Int8Recipe
from calibration.layers import layers_from_graph
from calibration.placement import Arithmetic, Choice, choices_from_policy
from calibration.stability import SEEDS, sampled_sets, stability_point
from export.contract import InputContract
from tests.calibration.small_networks import SIZE, small_network
from tests.celeb_df_tree import write_tree

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(("videos", "counts"), [(10, [60]), (30, [64] * 3 + [128] * 3 + [180])])
def test_sets_grow_until_the_pool_is_used_up(tmp_path: Path, videos: int, counts: list[int]) -> None:
    pool = samples_from_celeb_df(write_tree(tmp_path, 0, videos=videos, frames=2))
    drawn = sampled_sets(pool)
    assert [len(samples.samples) for _, samples in drawn] == counts
    assert [seed for seed, _ in drawn] == [*SEEDS] * (len(counts) // 3) + [0]
    assert len({samples.sha256 for _, samples in drawn}) == len(drawn)


def test_point_repeats_itself_and_worsens_with_more_int8(tmp_path: Path) -> None:
    contract = InputContract(SIZE)
    pool = samples_from_celeb_df(write_tree(tmp_path / "pool", 0, videos=8))
    judging = fitted_images(samples_from_celeb_df(write_tree(tmp_path / "judging", 100, videos=6)), contract)
    model = small_network(0)
    layers = layers_from_graph(model.graph)
    policy = choices_from_policy(layers, Int8Recipe("full").policy)
    weights = dict.fromkeys(policy, Choice(Arithmetic.INT8_WEIGHTS))
    points = [stability_point(model, choices, pool, judging, contract, 2) for choices in (policy, policy, weights)]
    assert points[0] == points[1]
    assert (points[0].images, points[0].seed) == (48, 2)
    assert points[0].to_dict() == {"images": 48, "seed": 2, "sqnr_db": points[0].sqnr_db}
    assert 5 < points[0].sqnr_db < points[2].sqnr_db
    assert np.isfinite(points[2].sqnr_db)
