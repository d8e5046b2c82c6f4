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
    ],
)
def test_names(name: str, variant: Variant) -> None:
    assert variant_from_name(name) == variant


@given(st.sampled_from(Precision), st.integers(0, 95))
def test_every_combination_has_one_name(precision: Precision, percent: int) -> None:
    variant = variant_from_name(name_from_parts(precision, percent))
    assert (variant.precision, variant.sparsity_percent) == (precision, percent)


@pytest.mark.parametrize("name", ["", "q32", "q4", "q8p50", "q8-p0", "q8-p96", "q8-p100", "baseline-p50", "Q8", "q8 "])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(VariantError, match="expected baseline, q16, q8"):
        variant_from_name(name)


def test_default_variants_are_the_six_of_the_report() -> None:
    sources = [variant_from_name(name).source for name in DEFAULT_VARIANTS]
    assert sources == [
        "dense",
        "dense",
        "p50",
        "p50",
        "dense",
        "p50",
    ]
