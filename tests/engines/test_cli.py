from __future__ import annotations

import pytest

from engines.cli import parsed_arguments, variants_from_arguments
from export.errors import VariantError
from export.variant import DEFAULT_VARIANTS


def names(
    variants: list[str] | None = None, precision: list[str] | None = None, sparsity: list[int] | None = None
) -> list[str]:
    return [variant.name for variant in variants_from_arguments(variants, precision, sparsity)]


def test_default_is_the_report_of_seven() -> None:
    assert names() == list(DEFAULT_VARIANTS)


def test_precision_brings_the_baseline_it_is_compared_with() -> None:
    assert names(precision=["int8"]) == ["baseline", "q8", "q8-p50"]
    assert names(precision=["int8-weights"], sparsity=[0]) == ["baseline", "q8w"]


def test_sparsity_selects_too() -> None:
    assert names(precision=["fp16"], sparsity=[0]) == ["baseline", "q16"]
    assert names(sparsity=[30]) == ["baseline", "q32-p30", "q16-p30", "q8-p30", "q8w-p30"]


def test_names_are_taken_as_they_are_and_once() -> None:
    assert names(["q8", "q16-p25", "q8"]) == ["q8", "q16-p25"]


def test_names_and_filters_exclude_each_other() -> None:
    with pytest.raises(VariantError, match="drop it, or drop"):
        names(["q8"], precision=["int8"])


@pytest.mark.parametrize(
    "arguments",
    [
        ["--batch", "1,8"],
        ["--batch", "1,x,8"],
        ["--sparsity", "96"],
        ["--calibration-images", "0"],
        ["--precision", "int4"],
    ],
)
def test_mistyped_options_exit_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        parsed_arguments(["--checkpoint", "x", "--out", "y", *arguments])
    assert stopped.value.code == 2
    assert arguments[0] in capsys.readouterr().err
