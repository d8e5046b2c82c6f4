from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from export.errors import VariantError
from export.variant import (
    DEFAULT_VARIANTS,
    Precision,
    Pruning,
    PruningKind,
    Variant,
    name_from_parts,
    pruning_from_name,
    variant_from_name,
)

P50, S50, N24 = (
    Pruning(kind, 50) for kind in (PruningKind.UNSTRUCTURED, PruningKind.STRUCTURED, PruningKind.TWO_OF_FOUR)
)
PRUNINGS = st.one_of(
    st.builds(Pruning, st.sampled_from((PruningKind.UNSTRUCTURED, PruningKind.STRUCTURED)), st.integers(1, 95)),
    st.just(N24),
)


@pytest.mark.parametrize(
    ("name", "variant"),
    [
        ("baseline", Variant("baseline", Precision.FP32)),
        ("q16", Variant("q16", Precision.FP16)),
        ("q32-p50", Variant("q32-p50", Precision.FP32, P50)),
        ("q8-p05", Variant("q8-p05", Precision.INT8, Pruning(PruningKind.UNSTRUCTURED, 5))),
        ("q8w", Variant("q8w", Precision.INT8_WEIGHTS)),
        ("q8w-s50", Variant("q8w-s50", Precision.INT8_WEIGHTS, S50)),
        ("q16-n24", Variant("q16-n24", Precision.FP16, N24)),
    ],
)
def test_names(name: str, variant: Variant) -> None:
    assert variant_from_name(name) == variant


@given(st.sampled_from(Precision), st.none() | PRUNINGS)
def test_every_combination_has_one_name(precision: Precision, pruning: Pruning | None) -> None:
    name = name_from_parts(precision, pruning)
    variant = variant_from_name(name)
    assert (variant.name, variant.precision, variant.pruning) == (name, precision, pruning)
    assert variant.source == (pruning.name if pruning else "dense")


@given(PRUNINGS)
def test_every_pruning_reads_back(pruning: Pruning) -> None:
    assert pruning_from_name(pruning.name) == pruning


def test_a_percentage_of_one_digit_is_written_with_two() -> None:
    """Files are named from precision and pruning, so that a variant of another name would not find its own."""
    assert variant_from_name("q8-p5") == variant_from_name("q8-p05")


@pytest.mark.parametrize("name", ["", "q32", "q4", "q8p50", "q16w", "baseline-p50", "Q8", "q8 ", "q8-"])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(VariantError, match="expected baseline, q16, q8"):
        variant_from_name(name)


@pytest.mark.parametrize("pruning", ["p0", "p96", "p100", "s0", "s00", "s96", "n", "n50", "n42", "x50", "p50 ", "50"])
def test_other_prunings_are_refused(pruning: str) -> None:
    with pytest.raises(VariantError, match=f"unknown pruning {pruning!r}; expected pNN"):
        variant_from_name(f"q8-{pruning}")


def test_default_variants_are_the_nine_of_the_report() -> None:
    variants = [variant_from_name(name) for name in DEFAULT_VARIANTS]
    assert [(variant.name, variant.source) for variant in variants] == [
        ("baseline", "dense"),
        ("q16", "dense"),
        ("q16-p50", "p50"),
        ("q16-s50", "s50"),
        ("q32-p50", "p50"),
        ("q8", "dense"),
        ("q8-p50", "p50"),
        ("q8-s50", "s50"),
        ("q8w", "dense"),
    ]


def test_rounded_weights_alone_need_no_calibration_images() -> None:
    names = ("baseline", "q16", "q8", "q8w", "q8w-p50", "q16-n24")
    assert [name for name in names if variant_from_name(name).needs_calibration] == ["q8", "q8w-p50", "q16-n24"]
