"""Whatever is wrong with the input, a person reads one line that says what to do."""

from __future__ import annotations

import re
import shutil
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from engines.run_folder import RunFolder
from engines.spec import read_spec
from evaluate.scoring.score_files import read_scores
from export.sidecar import sidecar_path
from tests.celeb_df_tree import write_tree
from tests.forked_commands import ForkedCommand
from tests.signoff_run import GRADED, SignoffCase, write_case

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

QUICK = ("--variants", "baseline", "--backend", "onnxruntime")


@pytest.fixture
def case(tmp_path: Path) -> SignoffCase:
    return write_case(tmp_path)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> SignoffCase:
    case = write_case(tmp_path_factory.mktemp("built"))
    assert case.build("--variants", "baseline", "q16", "--backend", "onnxruntime") == 0
    return case


def told(capsys: pytest.CaptureFixture[str]) -> str:
    error = capsys.readouterr().err
    assert error.count("\n") == 1, error
    assert "Traceback" not in error
    return error


def nothing(case: SignoffCase) -> None:
    """The mistake is in the options."""


def truncate_checkpoint(case: SignoffCase) -> None:
    case.checkpoint.write_bytes(case.checkpoint.read_bytes()[:1000])


def other_architecture(case: SignoffCase) -> None:
    model = case.checkpoint.with_name("model.toml")
    model.write_text(
        model.read_text(encoding="utf-8").replace("test_efficientnet", "efficientnet_b0"), encoding="utf-8"
    )


def no_real_calibration_faces(case: SignoffCase) -> None:
    shutil.rmtree(case.calibration / "Celeb-real")
    shutil.rmtree(case.calibration / "YouTube-real")


def undecodable_image(case: SignoffCase) -> None:
    for image in case.calibration.rglob("*.png"):
        image.write_bytes(b"no image")


def pruned_checkpoint(case: SignoffCase) -> None:
    weights = load_file(case.checkpoint)
    save_file({key: torch.where(value.abs() < 0.05, 0, value) for key, value in weights.items()}, case.checkpoint)


PRUNED = ("--backend", "onnxruntime", "--variants", "baseline", "q16-s30")


@pytest.mark.parametrize(
    ("damage", "options", "expected"),
    [
        (lambda case: case.checkpoint.unlink(), QUICK, "no checkpoint at"),
        (lambda case: shutil.rmtree(case.checkpoint.parent), QUICK, "no checkpoint at"),
        (truncate_checkpoint, QUICK, "copy it again"),
        (other_architecture, QUICK, "inspect-checkpoint without --model tells what it holds"),
        (lambda case: case.checkpoint.with_name("model.toml").unlink(), QUICK, "--model FILE"),
        (no_real_calibration_faces, QUICK, "both classes are needed"),
        (undecodable_image, QUICK, "--skip-unreadable"),
        (lambda case: shutil.rmtree(case.calibration), QUICK, "no data folder at"),
        (nothing, ("--variants", "q9"), "unknown variant 'q9'"),
        (nothing, ("--variants", "q16-s96"), "unknown pruning 's96'"),
        (nothing, ("--backend", "onnxruntime", "--variants", "baseline", "q16-p90"), "p90 would empty layers: at most"),
        (nothing, (*PRUNED, "--keep-dense", "stage9.*"), "pattern 'stage9.*' matches no layer"),
        (nothing, (*PRUNED, "--keep-dense", "*"), "none of the network's parameters can be removed"),
        (pruned_checkpoint, PRUNED, "% of the checkpoint's weights are zero, so it is pruned already"),
        (nothing, ("--variants", "q8", "--backend", "tensorflow"), "unknown backend 'tensorflow'"),
        (nothing, ("--variants", "q16", "--backend", "tensorrt-rtx", "--sm", "x"), "such as 8.6"),
        (nothing, ("--variants", "q16", "--backend", "tensorrt-rtx", "--sm", "9.0"), "does not support SM 9.0"),
        (nothing, ("--variants", "q16", "--backend", "tensorrt-rtx", "--batch", "8,1,32"), "smallest <= typical"),
    ],
)
def test_build_engines_refuses(
    damage: Callable[[SignoffCase], None],
    options: tuple[str, ...],
    expected: str,
    case: SignoffCase,
    capsys: pytest.CaptureFixture[str],
) -> None:
    damage(case)
    assert case.build(*options) == 2
    assert expected in told(capsys)
    assert not list(case.out.glob("engines/*"))


def test_an_unsupported_gpu_is_told_before_anything_is_made(
    case: SignoffCase, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("tensorrt_rtx", reason="TensorRT for RTX has no wheel for this platform")
    for dry_run in ((), ("--dry-run",)):
        assert case.build("--variants", "q16", "--backend", "tensorrt-rtx", "--sm", "9.0", *dry_run) == 2
        assert "does not support SM 9.0; pass --sm some of 7.5 " in capsys.readouterr().err
    assert not list(case.out.glob("*/*"))


@pytest.mark.parametrize(
    ("backend", "package", "told"),
    [("tensorrt", "tensorrt", "pip install tensorrt"), ("tensorrt-rtx", "tensorrt_rtx", "engine-signoff[rtx]")],
)
def test_a_missing_package_is_told_before_anything_is_made(
    backend: str,
    package: str,
    told: str,
    case: SignoffCase,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    assert case.build("--variants", "q16", "--backend", "onnxruntime", backend) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert f"{package} cannot be imported" in message
    assert told in message
    assert not list(case.out.glob("*/*"))


@pytest.fixture(scope="module")
def built_plans(tmp_path_factory: pytest.TempPathFactory) -> SignoffCase:
    pytest.importorskip("tensorrt_rtx", reason="TensorRT for RTX has no wheel for this platform")
    case = write_case(tmp_path_factory.mktemp("plans"))
    assert case.build("--variants", "baseline", "q16", "--backend", "tensorrt-rtx") == 0
    return case


def truncated(plan: Path, other: Path) -> None:
    plan.write_bytes(plan.read_bytes()[:-1])


def emptied(plan: Path, other: Path) -> None:
    plan.write_bytes(b"")


def flipped(plan: Path, other: Path) -> None:
    content = bytearray(plan.read_bytes())
    content[len(content) // 2] ^= 1
    plan.write_bytes(content)


def graph_under_its_name(plan: Path, other: Path) -> None:
    shutil.copyfile(plan.parent.parent / "onnx/baseline.onnx", plan)


def exchanged(plan: Path, other: Path) -> None:
    for one, two in ((plan, other), (sidecar_path(plan), sidecar_path(other))):
        one.write_bytes(two.read_bytes())


def no_sidecar(plan: Path, other: Path) -> None:
    sidecar_path(plan).unlink()


def edited_sidecar(plan: Path, other: Path) -> None:
    text = sidecar_path(plan).read_text(encoding="utf-8")
    sidecar_path(plan).write_text(text.replace('"batch_max": 32', '"batch_max": 64'), encoding="utf-8")


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (truncated, "was changed after it was made"),
        (emptied, "was changed after it was made"),
        (flipped, "was changed after it was made"),
        (graph_under_its_name, "was changed after it was made"),
        (exchanged, "belongs to 'q16.tensorrt-rtx.plan'"),
        (no_sidecar, "has no sidecar baseline.tensorrt-rtx.plan.json"),
        (edited_sidecar, "was edited by hand"),
    ],
)
def test_a_damaged_plan_is_not_run(
    damage: Callable[[Path, Path], None],
    expected: str,
    built_plans: SignoffCase,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    case = replace(built_plans, out=tmp_path / "run")
    shutil.copytree(built_plans.out, case.out)
    engines = case.out / "engines"
    damage(engines / "baseline.tensorrt-rtx.plan", engines / "q16.tensorrt-rtx.plan")
    capsys.readouterr()
    assert case.evaluate("--backend", "tensorrt-rtx") == 2
    assert expected in told(capsys)


def test_int8_without_calibration_set(case: SignoffCase, capsys: pytest.CaptureFixture[str]) -> None:
    from engines.cli import main

    arguments = [
        "--checkpoint",
        str(case.checkpoint),
        "--out",
        str(case.out),
        "--variants",
        "q8",
        "--backend",
        "onnxruntime",
    ]
    assert main(arguments) == 2
    assert "INT8 needs calibration images; pass --calibration DATA" in told(capsys)


def test_malicious_checkpoint_is_not_run(case: SignoffCase, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from tests.export.test_checkpoint import Touch

    path = case.checkpoint.with_name("evil.pth")
    torch.save({"state_dict": Touch(tmp_path / "touched")}, path)
    assert replace(case, checkpoint=path).build(*QUICK) == 2
    assert "could run code" in told(capsys)
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize(("first", "shared"), [(0, "videos"), (1, "identities")])
def test_overlapping_test_set(
    first: int, shared: str, built: SignoffCase, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    overlapping = write_tree(tmp_path / "test", first_identity=first)
    assert replace(built, test=overlapping).evaluate() == 2
    assert "calibration and test set share" in (message := told(capsys))
    assert shared in message


def test_unreadable_test_image_is_named_or_counted(
    built: SignoffCase, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case = replace(built, test=write_tree(tmp_path / "test", first_identity=200), out=tmp_path / "run")
    shutil.copytree(built.out, case.out)
    victim = sorted(case.test.rglob("*.png"))[3]
    victim.write_bytes(victim.read_bytes()[:50])
    assert case.evaluate() == 2
    assert str(victim) in told(capsys)
    assert case.evaluate("--skip-unreadable") in GRADED
    assert "1 images did not decode" in capsys.readouterr().out
    report = (case.out / "report/report.md").read_text(encoding="utf-8")
    assert victim.name in report


def test_empty_class_in_the_test_set(built: SignoffCase, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    test = write_tree(tmp_path / "test", first_identity=300)
    shutil.rmtree(test / "Celeb-synthesis")
    assert replace(built, test=test).evaluate() == 2
    assert "both classes are needed" in told(capsys)


@pytest.mark.parametrize("damage", ["missing", "{", "{}", '{"variants": 3}'])
def test_damaged_spec(damage: str, built: SignoffCase, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    case = replace(built, out=tmp_path / "run")
    shutil.copytree(built.out, case.out)
    spec = case.out / "spec.json"
    spec.unlink() if damage == "missing" else spec.write_text(damage, encoding="utf-8")
    assert case.evaluate() == 2
    assert "spec.json" in (message := told(capsys)) or "holds no run" in message


def test_damaged_spec_is_mended_by_building_again(built: SignoffCase, tmp_path: Path) -> None:
    case = replace(built, out=tmp_path / "run")
    shutil.copytree(built.out, case.out)
    (case.out / "spec.json").write_text("{", encoding="utf-8")
    assert case.build("--variants", "baseline", "--backend", "onnxruntime") == 0
    assert case.evaluate() in GRADED


def test_other_calibration_set_drops_what_the_first_one_made(
    case: SignoffCase, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Otherwise a test set could share people with the forgotten calibration set of an engine that is still scored."""
    assert case.build("--variants", "baseline", "q8", "--backend", "onnxruntime") == 0
    other = replace(case, calibration=write_tree(tmp_path / "other", first_identity=400))
    assert "leave the run" not in capsys.readouterr().out
    told = f"note: {case.out} has q8 (onnxruntime) of another checkpoint"
    for dry_run in (("--dry-run",), ()):
        assert other.build("--variants", "q16", "--backend", "onnxruntime", *dry_run) == 0
        assert capsys.readouterr().out.count(told) == 1
    assert [e.variant.name for e in read_spec(RunFolder(case.out)).engines] == ["baseline", "q16"]
    assert other.evaluate() in GRADED


def test_backends_of_each_variant_are_remembered(case: SignoffCase, capsys: pytest.CaptureFixture[str]) -> None:
    assert case.build("--variants", "baseline", "--backend", "onnxruntime") == 0
    assert case.build("--variants", "q16", "--backend", "tensorrt-rtx") == 0
    assert case.evaluate() in GRADED
    assert case.evaluate("--backend", "tensorrt") == 2
    assert "tensorrt" in capsys.readouterr().err


def test_moved_run_folder_is_evaluated(case: SignoffCase, tmp_path: Path) -> None:
    inside = replace(case, checkpoint=case.out / "model/checkpoint.safetensors")
    shutil.copytree(case.checkpoint.parent, case.out / "model")
    assert inside.build(*QUICK) == 0
    case.out.rename(tmp_path / "moved")
    assert replace(case, out=tmp_path / "moved").evaluate() in GRADED


def test_inverted_fake_index_rebuilds_everything(case: SignoffCase) -> None:
    """A user who mends fake_index must not be served the graphs of the mistake."""
    scores = []
    for index in (1, 0):
        model = case.checkpoint.with_name("model.toml")
        text = model.read_text(encoding="utf-8")
        model.write_text(re.sub(r"fake_index = \d", f"fake_index = {index}", text), encoding="utf-8")
        assert case.build(*QUICK) == 0
        assert case.evaluate() in GRADED
        scores.append(read_scores(case.out / "results/baseline/scores.csv").scores)
    np.testing.assert_allclose(scores[0], 1 - scores[1], atol=1e-5)


def test_unreadable_calibration_image_is_counted(case: SignoffCase, capsys: pytest.CaptureFixture[str]) -> None:
    victim = sorted(case.calibration.rglob("*.png"))[0]
    victim.write_bytes(b"no image")
    assert case.build(*QUICK) == 2
    assert victim.name in told(capsys)
    assert case.build(*QUICK, "--skip-unreadable") == 0
    assert case.evaluate() in GRADED
    assert "Left out of it: 1 images" in (case.out / "report/report.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("content", ["{}", "[]", "{", '{"heatmaps": [{}], "limit": 1}'])
def test_damaged_list_of_heatmaps_is_drawn_again(content: str, built: SignoffCase, tmp_path: Path) -> None:
    case = replace(built, out=tmp_path / "run")
    shutil.copytree(built.out, case.out)
    assert case.evaluate() in GRADED
    (case.out / "results/heatmaps.list").write_text(content, encoding="utf-8")
    assert case.evaluate() in GRADED


def test_run_folder_that_is_a_file(case: SignoffCase, capsys: pytest.CaptureFixture[str]) -> None:
    case.out.write_text("", encoding="utf-8")
    assert case.build(*QUICK) == 2
    assert "choose another" in told(capsys)


def test_full_disk_is_one_line_and_leaves_nothing_half_written(case: SignoffCase, tmp_path: Path) -> None:
    """A limit on the size of files stands in for the full disk: the kernel refuses the write in the same place."""
    arguments = ["--checkpoint", case.checkpoint, "--calibration", case.calibration, "--out", case.out, *QUICK]
    command = ForkedCommand("tests.full_disk", [str(word) for word in arguments], tmp_path / "told", threads=1)
    assert command.ended() == 2, command.complained()
    assert "may not grow that large" in command.complained()
    assert "Traceback" not in command.complained()
    assert [path.name for path in case.out.rglob("*") if path.is_file()] == [".lock"]
    assert case.build(*QUICK) == 0
