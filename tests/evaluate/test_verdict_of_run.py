"""What an evaluation does with limits and with the verdict before, on a small run of its own."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from engines.run_folder import RunFolder
from engines.spec import read_spec, write_spec
from evaluate.verdict import cli_grade
from evaluate.verdict.verdict import read_verdict
from tests.evaluate.conftest import copied
from tests.signoff_run import GRADED

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Any

    from tests.signoff_run import SignoffCase

    Captured = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def judged(built: SignoffCase, tmp_path_factory: pytest.TempPathFactory) -> SignoffCase:
    case = copied(built, tmp_path_factory.mktemp("judged"))
    assert case.evaluate() in GRADED
    return case


@pytest.fixture
def again(judged: SignoffCase, tmp_path: Path) -> SignoffCase:
    return copied(judged, tmp_path)


def only_baseline(case: SignoffCase) -> None:
    run = RunFolder(case.out)
    spec = read_spec(run)
    write_spec(run, replace(spec, engines=tuple(e for e in spec.engines if e.variant.name == "baseline")))


def limits_file(case: SignoffCase, text: str) -> tuple[str, str]:
    path = case.out / "limits.toml"
    path.write_text(text, encoding="utf-8")
    return "--limits", str(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[variant.baseline]\nmin_auc = 0.1\n", "no limit applies to the candidate q16"),
        ("[variant.q9]\nmin_auc = 0.1\n", "no variant 'q9'"),
        ("[limits]\nmax_flop = 0.1\n", "did you mean max_flips?"),
    ],
)
def test_limits_are_refused_before_any_engine_runs(
    fresh: SignoffCase, text: str, message: str, capsys: Captured
) -> None:
    assert fresh.evaluate(*limits_file(fresh, text)) == 2
    assert message in capsys.readouterr().err
    assert not list(fresh.out.rglob("frames.*"))


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda verdict: verdict["limits"]["of_variant"].update(q9=verdict["limits"]["common"]), "pass --limits FILE"),
        (lambda verdict: verdict.update(schema_version=99), "schema_version 99"),
    ],
)
def test_what_the_verdict_before_cannot_give_is_told_before_anything_is_written(
    again: SignoffCase, edit: Callable[[dict[str, Any]], None], message: str, capsys: Captured
) -> None:
    path = again.out / "report" / "verdict.json"
    stored = json.loads(path.read_text(encoding="utf-8"))
    edit(stored)
    path.write_text(json.dumps(stored), encoding="utf-8")
    before = {file: file.read_bytes() for file in (again.out / "report").glob("*.*")}
    for frames in again.out.rglob("frames.*"):
        frames.unlink()
    assert again.evaluate() == 2
    err = capsys.readouterr().err
    assert message in err
    assert "verdict.json" in err
    assert {file: file.read_bytes() for file in (again.out / "report").glob("*.*")} == before
    assert not list(again.out.rglob("frames.*"))


def test_an_unchanged_evaluation_leaves_report_and_signature(again: SignoffCase) -> None:
    assert again.evaluate() in GRADED  # its test set was moved, which the report says
    assert cli_grade.main([str(again.out), "--sign", "Ada"]) in GRADED
    report = (again.out / "report" / "report.json").read_bytes()
    assert again.evaluate() in GRADED
    assert (again.out / "report" / "report.json").read_bytes() == report
    assert read_verdict(again.out / "report" / "verdict.json").decision.signed_by == "Ada"


def test_a_baseline_alone_is_judged_only_by_limits_for_it(again: SignoffCase, capsys: Captured) -> None:
    only_baseline(again)
    assert again.evaluate("--limit", "min_auc=0.9999") == 2
    assert "name candidates in limits" in capsys.readouterr().err
    assert again.evaluate() == 0
    out = capsys.readouterr().out
    assert "no verdict: there is nothing but the baseline" in out
    assert "note: removed " in out
    assert not (again.out / "report" / "verdict.json").exists()
    stated = limits_file(again, 'candidates = ["baseline"]\n[limits]\nmax_size_mib = 0.001\n')
    assert again.evaluate(*stated) == 3
    assert again.evaluate() == 3
