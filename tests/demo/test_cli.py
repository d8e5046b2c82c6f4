from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from demo.cli import main
from export.variant import DEFAULT_VARIANTS
from pruning.distillation import distilled

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from export.checkpoint import Detector
    from pruning.distillation import DistillationPlan

SMALL = ("--backbone", "test_efficientnet", "--size", "64", "--epochs", "2", "--videos", "20")


@pytest.fixture
def briefly_distilled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves out most of the steps that repair what is pruned, half a minute; their room tests what they do."""

    def brief(
        dense: Detector, pruned: Detector, images: torch.Tensor, plan: DistillationPlan, resume: Path, key: str
    ) -> Detector:
        return distilled(dense, pruned, images, replace(plan, steps=min(plan.steps, 20)), resume, key)

    monkeypatch.setattr("pruning.making.distilled", brief)


@pytest.mark.slow
@pytest.mark.usefixtures("briefly_distilled")
@pytest.mark.timeout(900)  # a minute alone, several on a machine that does other things
def test_from_nothing_to_the_report_and_again_without_work(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "demo"
    assert main(["--out", str(out), *SMALL]) == 0
    first = capsys.readouterr().out
    record = json.loads((out / "report/report.json").read_text(encoding="utf-8"))
    assert [variant["name"] for variant in record["variants"]] == list(DEFAULT_VARIANTS)
    assert record["architecture"] == "test_efficientnet"
    assert str(out / "report/report.md") in first
    scores = {path: path.read_bytes() for path in out.rglob("scores.csv")}
    assert main(["--out", str(out), *SMALL]) == 0
    assert "making" not in capsys.readouterr().out
    assert {path: path.read_bytes() for path in out.rglob("scores.csv")} == scores


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [("--videos", "3", "at least 20"), ("--epochs", "0", "at least 1"), ("--size", "8", "32..4096 pixels")],
)
def test_mistakes_are_one_line(
    option: str, value: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--out", str(tmp_path / "demo"), option, value]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1
    assert not (tmp_path / "demo").exists()


def test_unknown_backbone_is_told_before_anything_is_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--out", str(tmp_path / "demo"), "--backbone", "eficientnet_b5"]) == 2
    assert "did you mean" in capsys.readouterr().err
    assert not (tmp_path / "demo").exists()
