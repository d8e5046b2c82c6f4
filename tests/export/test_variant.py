from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from export.errors import VariantError
from export.variant import DEFAULT_VARIANTS, Precision, Variant, name_from_parts, variant_from_name


@pytest.mark.parametrize(
    ("name", "variant"),
    [
        ("baseline", Variant("baseline", Precision.FP32)),
        ("q16", Variant("q16", Precision.FP16)),
        ("q32-p50", Variant("q32-p50", Precision.FP32, 50)),
        ("q8-p05", Variant("q8-p05", Precision.INT8, 5)),
        ("q8w", Variant("q8w", Precision.INT8_WEIGHTS)),
        ("q8w-p50", Variant("q8w-p50", Precision.INT8_WEIGHTS, 50)),
    ],
)
def test_names(name: str, variant: Variant) -> None:
    assert variant_from_name(name) == variant


@given(st.sampled_from(Precision), st.integers(0, 95))
def test_every_combination_has_one_name(precision: Precision, percent: int) -> None:
    variant = variant_from_name(name_from_parts(precision, percent))
    assert (variant.precision, variant.sparsity_percent) == (precision, percent)


@pytest.mark.parametrize(
    "name", ["", "q32", "q4", "q8p50", "q8-p0", "q8-p96", "q8-p100", "q16w", "q8w-p0", "baseline-p50", "Q8", "q8 "]
)
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(VariantError, match="expected baseline, q16, q8"):
        variant_from_name(name)


def test_default_variants_are_the_seven_of_the_report() -> None:
    variants = [variant_from_name(name) for name in DEFAULT_VARIANTS]
    assert [(variant.name, variant.source) for variant in variants] == [
        ("baseline", "dense"),
        ("q16", "dense"),
        ("q16-p50", "p50"),
        ("q32-p50", "p50"),
        ("q8", "dense"),
        ("q8-p50", "p50"),
        ("q8w", "dense"),
    ]


def test_rounded_weights_alone_need_no_calibration_images() -> None:
    needing = [
        name for name in ("baseline", "q16", "q8", "q8w", "q8w-p50") if variant_from_name(name).needs_calibration
    ]
    assert needing == ["q8", "q8w-p50"]
