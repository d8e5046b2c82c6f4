from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from engines.backend import BuildOptions, backend_from_name
from engines.cli import _next_command, _request, main, variants_from_arguments
from engines.cli_options import CURVE_VARIANTS, parsed_arguments
from engines.pipeline import build_notes
from engines.run_folder import RunFolder
from export.errors import BackendError, SignoffError, VariantError
from export.sidecar import Recipe, make_artifact
from export.variant import DEFAULT_VARIANTS
from pruning.errors import PruningError
from pruning.recipe import PruningRecipe
from tests.detectors import contract_for_tests, write_checkpoint

if TYPE_CHECKING:
    from engines.request import BuildRequest


def names(
    variants: list[str] | None = None,
    precision: list[str] | None = None,
    pruning: list[str] | None = None,
    curve: bool = False,
) -> list[str]:
    return [variant.name for variant in variants_from_arguments(variants, precision, pruning, curve)]


def test_default_is_the_report_of_nine() -> None:
    assert names() == list(DEFAULT_VARIANTS)


def test_precision_brings_the_baseline_it_is_compared_with() -> None:
    assert names(precision=["int8"]) == ["baseline", "q8", "q8-p50", "q8-s50"]
    assert names(precision=["int8-weights"], pruning=["dense"]) == ["baseline", "q8w"]


def test_pruning_selects_too() -> None:
    assert names(precision=["fp16"], pruning=["dense"]) == ["baseline", "q16"]
    assert names(precision=["fp16"], pruning=["s5", "n24"]) == ["baseline", "q16-s05", "q16-n24"]
    assert names(pruning=["p30"]) == ["baseline", "q32-p30", "q16-p30", "q8-p30", "q8w-p30"]


@pytest.mark.parametrize("pruning", ["p0", "s96", "x50", "n25", "50", "", "P50", "dense50"])
def test_unknown_prunings_are_refused_with_all_that_is_known(pruning: str) -> None:
    with pytest.raises(VariantError, match=rf"{pruning!r}; expected pNN .* sNN .* n24 .* or dense for none") as caught:
        names(pruning=[pruning])
    assert "\n" not in str(caught.value)


def test_an_unknown_pruning_is_one_line_and_exit_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint = write_checkpoint(tmp_path, contract_for_tests())
    assert main(["--checkpoint", str(checkpoint), "--out", str(tmp_path / "run"), "--pruning", "p0"]) == 2
    told = capsys.readouterr().err
    assert "unknown pruning 'p0'" in told
    assert told.count("\n") == 1


def test_a_size_that_the_network_cannot_compute_is_one_line_and_exit_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = write_checkpoint(tmp_path, contract_for_tests("test_vit", 64))
    model = tmp_path / "model.toml"
    whole = model.read_text(encoding="utf-8")
    for size, told in ((16, "expected 32..4096 pixels"), (70, "images of 70 x 70 .* such as 160")):
        model.write_text(whole.replace("size = 64", f"size = {size}"), encoding="utf-8")
        assert main(["--checkpoint", str(checkpoint), "--out", str(tmp_path / "run"), "--dry-run"]) == 2
        error = capsys.readouterr().err
        assert re.search(told, error), error
        assert error.count("\n") == 1


def test_the_curve_comes_on_top_of_what_is_selected() -> None:
    assert names(["q8"], curve=True) == ["q8", *CURVE_VARIANTS]
    assert names(precision=["fp16"], pruning=["s20"], curve=True) == [
        "baseline",
        "q16-s20",
        "q16",
        "q16-s30",
        "q16-s40",
        "q16-s50",
    ]
    assert names(curve=True) == [*DEFAULT_VARIANTS, "q16-s20", "q16-s30", "q16-s40"]


def test_names_are_taken_as_they_are_and_once() -> None:
    assert names(["q8", "q16-p25", "q8"]) == ["q8", "q16-p25"]
    assert names(["q16-s5", "q16-s05"]) == ["q16-s05"]


def test_names_and_filters_exclude_each_other() -> None:
    with pytest.raises(VariantError, match="drop it, or drop"):
        names(["q8"], precision=["int8"])
    with pytest.raises(VariantError, match="drop it, or drop"):
        names(["q8"], pruning=["p50"])


@pytest.mark.parametrize(
    "arguments",
    [
        ["--batch", "1,8"],
        ["--batch", "1,x,8"],
        ["--pruning-recipe", "random"],
        ["--distill-steps", "-1"],
        ["--max-pruning-auc-drop", "x"],
        ["--calibration-images", "0"],
        ["--precision", "int4"],
        ["--optimization-level", "6"],
        ["--input", "float16"],
        ["--workspace", "0"],
    ],
)
def test_mistyped_options_exit_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        parsed_arguments(["--checkpoint", "x", "--out", "y", *arguments])
    assert stopped.value.code == 2
    assert arguments[0] in capsys.readouterr().err


def requested(folder: Path, *options: str) -> BuildRequest:
    checkpoint = write_checkpoint(folder, contract_for_tests())
    return _request(parsed_arguments(["--checkpoint", str(checkpoint), "--out", str(folder), *options]))


def test_pruning_options_reach_the_recipe(tmp_path: Path) -> None:
    assert requested(tmp_path).pruning == PruningRecipe()
    options = ("--pruning-recipe", "magnitude", "--max-pruning-auc-drop", "0.01", "--max-pruning-flips", "2.5")
    found = requested(tmp_path, *options, "--distill-steps", "0", "--keep-dense", "conv_head", "blocks.0.*").pruning
    assert found == PruningRecipe("magnitude", 0.01, 0.025, 0, ("conv_head", "blocks.0.*"))


@pytest.mark.parametrize("drop", ["0", "-0.1", "0.5"])
def test_a_limit_that_cannot_be_meant_is_refused(drop: str, tmp_path: Path) -> None:
    with pytest.raises(PruningError, match="expected more than 0 and less than"):
        requested(tmp_path, "--max-pruning-auc-drop", drop)


@pytest.mark.parametrize("flips", ["0", "50", "-1"])
def test_limits_out_of_range_are_one_line_and_exit_code_2(
    flips: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = write_checkpoint(tmp_path, contract_for_tests())
    arguments = ["--checkpoint", str(checkpoint), "--out", str(tmp_path / "run"), f"--max-pruning-flips={flips}"]
    assert main(arguments) == 2
    assert "expected more than 0, less than 50" in capsys.readouterr().err


def test_tensorrt_options_reach_the_builder(tmp_path: Path) -> None:
    assert requested(tmp_path).options == BuildOptions()
    options = ("--batch", "2,4,6", "--sm", "86", "8.9", "sm86", "--workspace", "64", "--optimization-level", "0")
    more = ("--timing-cache", "times", "--version-compatible", "--hardware-compatible", "--input", "uint8")
    assert requested(tmp_path, "--backend", "tensorrt", *options, *more).options == BuildOptions(
        2,
        4,
        6,
        64,
        ("8.6", "8.9"),
        version_compatible=True,
        hardware_compatible=True,
        optimization_level=0,
        timing_cache=Path("times"),
        input_form="uint8",
    )


@pytest.mark.parametrize(
    "option",
    ["--sm 8.6", "--timing-cache times", "--version-compatible", "--hardware-compatible", "--optimization-level 0"],
)
def test_options_of_tensorrt_are_refused_where_it_does_not_build(option: str, tmp_path: Path) -> None:
    name = option.partition(" ")[0]
    with pytest.raises(SignoffError, match=f"{name} would have no effect on onnxruntime, onnxruntime-cuda"):
        requested(tmp_path, "--backend", "onnxruntime", "onnxruntime-cuda", *option.split())
    requested(tmp_path, "--backend", "onnxruntime", "tensorrt", *option.split())


def test_the_help_names_every_backend(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parsed_arguments(["--help"])
    told = capsys.readouterr().out.replace(",", " ").split()
    with pytest.raises(BackendError) as caught:
        backend_from_name("?")
    for name in str(caught.value).partition("one of ")[2].split(", "):
        assert name in told


@pytest.mark.parametrize(
    ("backends", "expected"),
    [
        (["onnxruntime"], "--test DATA"),
        (["tensorrt-rtx", "onnxruntime"], "--test DATA"),
        (["tensorrt-rtx"], "--test DATA --backend tensorrt-rtx"),
        (["onnxruntime-cuda", "tensorrt"], "--test DATA --backend onnxruntime-cuda"),
    ],
)
def test_the_next_command_evaluates_what_was_built(backends: list[str], expected: str, tmp_path: Path) -> None:
    request = requested(tmp_path, "--backend", *backends)
    assert _next_command(request) == f"evaluate-engines {tmp_path} {expected}"


def test_what_a_user_should_know_of_the_engines_is_told_once(tmp_path: Path) -> None:
    request = requested(tmp_path, "--backend", "onnxruntime", "tensorrt", "--variants", "baseline", "q16")
    run = RunFolder(tmp_path)
    for variant, backend, suffix, facts in (
        ("baseline", "onnxruntime", ".onnx", {}),
        ("q16", "onnxruntime", ".onnx", {}),
        ("baseline", "tensorrt", ".plan", {"warnings": ["slow"], "rewritten": "a Gemm"}),
        ("q16", "tensorrt", ".plan", {"warnings": ["slow", "cold", "slow"]}),
    ):
        recipe = Recipe("engine", {"onnx": "0" * 64}, {})
        make_artifact(run.engine(variant, backend, suffix), recipe, partial(written, facts=facts))
    assert build_notes(request) == (
        "baseline for tensorrt: rewritten: a Gemm",
        "baseline, q16 for tensorrt: slow",
        "q16 for tensorrt: cold",
    )


def written(path: Path, facts: dict[str, Any]) -> dict[str, Any]:
    path.write_bytes(b"engine")
    return facts
