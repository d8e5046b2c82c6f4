from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from evaluate.pruning_comparison import (
    heaviest_losses,
    missed_pruning_limits,
    pruned_sources,
    pruning_cautions,
    pruning_savings,
    pruning_warnings,
    ratio_curves,
    role_losses,
)
from pruning.record import LayerPruning
from tests.evaluate.pruning_reference import MISSED, WARNING, b5_pruning, pruning_reference_record

if TYPE_CHECKING:
    from evaluate.record import ReportRecord

# By hand: of 100 + 400 + 500 weights, 40 + 100 + 0 are gone and 10 + 100 + 0 of those left are zero.
LAYERS = (
    LayerPruning("a", "convolution", 100, 40, 10),
    LayerPruning("b", "depthwise", 500, 0, 0),
    LayerPruning("c", "convolution", 400, 100, 100),
)


def without(record: ReportRecord, *names: str) -> ReportRecord:
    return replace(record, variants=tuple(variant for variant in record.variants if variant.name not in names))


def test_a_source_that_several_variants_share_comes_once() -> None:
    record = pruning_reference_record()
    assert sum(variant.source == "s50" for variant in record.variants) == 2
    assert [source for source, _ in pruned_sources(record)] == ["p50", "s50", "n24"]
    dense = replace(record, variants=record.variants[:3])
    assert not any(found(dense) for found in (pruned_sources, pruning_warnings, pruning_savings, ratio_curves))


def test_missed_limits_and_cautions_name_their_sources() -> None:
    record = pruning_reference_record()
    assert missed_pruning_limits(record) == (f"s50: {MISSED}",)
    assert pruning_cautions(record) == (f"p50, s50: {WARNING}",)
    assert pruning_warnings(record) == (*missed_pruning_limits(record), *pruning_cautions(record))


@pytest.mark.parametrize(
    ("index", "name", "reductions"),
    [
        # 54.6, 58 and 31 MiB against 54.6, 58 and 50 of q16.
        (1, "q16-p50", (0.0, 0.0, 0.38)),
        # 27.3, 29 and 24 MiB.
        (3, "q16-s50", (0.5, 0.5, 0.52)),
        # 14.456, 22 and 12.5 MiB against 27.8, 40 and 25 of q8.
        (5, "q8-s50", (0.48, 0.45, 0.5)),
        # 54.6, 60.9 and 33.5 MiB against q16: the engine has grown.
        (7, "q16-n24", (0.0, -0.05, 0.33)),
    ],
)
def test_savings_are_against_the_dense_variant_of_the_same_precision(
    index: int, name: str, reductions: tuple[float, float, float]
) -> None:
    saving = pruning_savings(pruning_reference_record())[index]
    found = (saving.graph_reduction, saving.engine_reduction, saving.download_reduction)
    assert (saving.variant.name, saving.engine and saving.engine.backend) == (name, "tensorrt 10.9")
    assert found == pytest.approx(reductions, abs=1e-6)


def test_fp32_variants_are_compared_with_the_baseline() -> None:
    record = pruning_reference_record()
    pruned = replace(record.variants[4], name="q32-s50", precision="FP32")
    saving = pruning_savings(replace(record, variants=(*record.variants[:3], pruned)))[1]
    # 27.3 of 108.79 and 29 of 112 MiB.
    assert (saving.graph_reduction, saving.engine_reduction) == pytest.approx((0.749058, 0.741071), abs=1e-6)


def test_what_has_no_twin_is_not_compared() -> None:
    record = pruning_reference_record()
    savings = pruning_savings(without(record, "q16"))
    found = [s.graph_reduction for s in savings if s.variant.precision == "FP16"]
    assert len(found) == 6
    assert set(found) == {None}
    other_gpu = replace(record.variants[3], engines=(replace(record.variants[3].engines[1], sms=("8.9",)),))
    (saving,) = pruning_savings(replace(record, variants=(*record.variants[:3], other_gpu)))
    assert (saving.graph_reduction, saving.engine_reduction, saving.download_reduction) == (0.0, None, None)
    unbuilt = replace(record.variants[4], engines=())
    (saving,) = pruning_savings(replace(record, variants=(*record.variants[:3], unbuilt)))
    assert saving.graph_reduction == pytest.approx(0.5, abs=1e-6)
    assert (saving.engine, saving.engine_reduction, saving.download_reduction) == (None, None, None)


def test_roles_add_up_what_their_layers_lost() -> None:
    convolution, depthwise = role_losses(replace(b5_pruning("structured", 50), layers=LAYERS))
    assert (convolution.role, convolution.layers, convolution.untouched) == ("convolution", 2, 0)
    assert (convolution.weights, convolution.removed, convolution.zeros) == (500, 140, 110)
    assert convolution.mask_ratio == 0.5
    assert (depthwise.role, depthwise.layers, depthwise.untouched, depthwise.mask_ratio) == ("depthwise", 1, 1, 0.0)


def test_the_heaviest_losses_are_counted_in_weights() -> None:
    pruning = replace(b5_pruning("structured", 50), layers=LAYERS)
    assert [layer.name for layer in heaviest_losses(pruning, 12)] == ["c", "a"]
    assert [layer.name for layer in heaviest_losses(pruning, 1)] == ["c"]


def test_three_percentages_of_one_kind_and_precision_make_a_curve() -> None:
    record = pruning_reference_record(curve=True)
    (curve,) = ratio_curves(record)
    assert (curve.kind, curve.precision) == ("structured", "FP16")
    assert [(p.percent, p.variant.name) for p in curve.points] == [
        (0, "q16"),
        (20, "q16-s20"),
        (30, "q16-s30"),
        (40, "q16-s40"),
        (50, "q16-s50"),
    ]
    assert [p.auc_diff for p in curve.points] == pytest.approx([0.0, -0.0002, -0.0019, -0.0059, -0.0125])
    # 0.9548 of q16 less the 0.01 that the report calls stable.
    assert curve.lowest_stable_auc == pytest.approx(0.9448)
    assert len(ratio_curves(without(record, "q16-s20"))) == 1
    assert ratio_curves(without(record, "q16-s20", "q16-s30")) == ()


def test_a_curve_without_a_dense_variant_has_no_differences() -> None:
    (curve,) = ratio_curves(without(pruning_reference_record(curve=True), "q16"))
    assert [point.percent for point in curve.points] == [20, 30, 40, 50]
    assert {point.auc_diff for point in curve.points} == {curve.lowest_stable_auc} == {None}
