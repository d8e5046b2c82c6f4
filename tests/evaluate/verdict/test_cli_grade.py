"""`grade-report` and `compare-reports` on report folders, without any engine."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from engines.run_folder import RunFolder, locked
from evaluate.record import read_record, write_record
from evaluate.verdict import cli_compare, cli_grade, regrading
from evaluate.verdict.verdict import read_verdict
from export.sidecar import sha256_of_file
from tests.evaluate.verdict.planted import Drawn

ROOT = Path(__file__).parents[3]

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from evaluate.record import ReportRecord

    Captured = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def record() -> ReportRecord:
    drawn = Drawn(np.random.default_rng(0), 100, validation=0)
    drawn.add_identical("q16")
    drawn.add_shifted("q8", 3.0)
    return drawn.record()


@pytest.fixture
def run(record: ReportRecord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Returns a run folder that was graded; rendering is left out, which takes most of the time."""
    monkeypatch.setattr(regrading, "render_report", lambda folder, *_: (folder / "report.md",))
    write_record(tmp_path / "run" / "report" / "report.json", record)
    assert grade(tmp_path / "run") == 3
    return tmp_path / "run"


def grade(run: Path, *options: str) -> int:
    return cli_grade.main([str(run), *options])


def test_the_report_is_graded_and_rendered_with_its_verdict_by_no_engine(tmp_path: Path, record: ReportRecord) -> None:
    """The run folder has no engine, and the process loads nothing that could run one."""
    write_record(tmp_path / "report" / "report.json", record)
    script = (
        "import sys\n"
        "from evaluate.verdict import cli_grade\n"
        f"code = cli_grade.main([{str(tmp_path)!r}])\n"
        "print({'torch', 'onnxruntime', 'tensorrt', 'tensorrt_rtx'} & set(sys.modules), file=sys.stderr)\n"
        "sys.exit(code)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=False)
    assert (done.returncode, done.stderr) == (3, "set()\n")
    assert done.stdout.splitlines()[-1] == "VERDICT run FAIL"
    assert "VERDICT q16 PASS max_auc_drop=0.0000<=0.0100 max_flips=0.0000<=0.0200\n" in done.stdout
    verdict = read_verdict(tmp_path / "report" / "verdict.json")
    assert verdict.report_sha256 == sha256_of_file(tmp_path / "report" / "report.json")
    assert "Verdict: FAIL" in (tmp_path / "report" / "report.md").read_text(encoding="utf-8")


def test_the_record_is_left_as_it_was(run: Path) -> None:
    before = (run / "report" / "report.json").read_bytes()
    grade(run, "--limit", "max_flips=0.9")
    assert (run / "report" / "report.json").read_bytes() == before


def test_other_limits_give_other_codes(run: Path, tmp_path: Path) -> None:
    limits = tmp_path / "limits.toml"
    limits.write_text("[limits]\nmax_flips = 0.9\n", encoding="utf-8")
    assert grade(run, "--limits", str(limits)) == 0
    assert grade(run, "--limit", "q8.max_latency_ms=5") == 4
    assert grade(run, "--limits", str(limits), "--limit", "max_size_mib=40") == 3


def test_limits_of_the_verdict_before_hold_until_told_otherwise(run: Path) -> None:
    assert grade(run, "--limit", "max_flips=0.9") == 0
    assert grade(run) == 0
    assert grade(run, "--afresh") == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--limits", "nowhere.toml"], "no limits at nowhere.toml"),
        (["--limit", "max_flop=1"], "did you mean max_flips?"),
        (["--limit", "q9.max_flips=0.1"], "no variant 'q9'; there are baseline, q16, q8"),
        (["--waive", "q16.max_flips=fine"], "nothing to waive at q16.max_flips: it is PASS"),
        (["--waive", "q8.max_flips="], "a waiver needs a reason"),
        (["--sign", " "], "expected the name of the person who decides"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_changes_nothing(
    run: Path, capsys: Captured, options: list[str], message: str
) -> None:
    before = {path: path.read_bytes() for path in (run / "report").iterdir()}
    assert grade(run, *options) == 2
    err = capsys.readouterr().err
    assert err.startswith("grade-report: error: ")
    assert err.count("\n") == 1
    assert message in err
    assert {path: path.read_bytes() for path in (run / "report").iterdir()} == before


def test_a_folder_without_a_report_is_refused(tmp_path: Path, capsys: Captured) -> None:
    assert grade(tmp_path) == 2
    assert "run evaluate-engines first" in capsys.readouterr().err


def test_a_note_without_a_signature_would_have_no_effect(run: Path, capsys: Captured) -> None:
    with pytest.raises(SystemExit):
        grade(run, "--note", "fine")
    assert "pass --sign NAME, too" in capsys.readouterr().err


def test_waivers_and_signature_hold_as_long_as_nothing_changes(run: Path, capsys: Captured) -> None:
    assert grade(run, "--waive", "q8.max_flips=as agreed", "--sign", "Ada", "--note", "until May") == 0
    signed = read_verdict(run / "report" / "verdict.json")
    assert (signed.decision.signed_by, signed.decision.note) == ("Ada", "until May")
    assert grade(run) == 0
    assert read_verdict(run / "report" / "verdict.json") == signed
    capsys.readouterr()
    assert grade(run, "--limit", "max_flips=0.01") == 3
    out = capsys.readouterr().out
    assert "note: the waiver of q8.max_flips no longer applies" in out
    assert "note: the signature of Ada was for another verdict and is gone; sign again" in out
    assert read_verdict(run / "report" / "verdict.json").decision.signed_by == ""


def test_a_changed_report_takes_waivers_and_signature_with_it(
    run: Path, record: ReportRecord, capsys: Captured
) -> None:
    assert grade(run, "--waive", "q8.max_flips=as agreed", "--sign", "Ada") == 0
    write_record(run / "report" / "report.json", replace(record, created_utc="2026-02-02T00:00:00+00:00"))
    capsys.readouterr()
    assert grade(run) == 3
    assert "note: report.json changed since the verdict of " in capsys.readouterr().out
    assert grade(run) == 3
    assert "note:" not in capsys.readouterr().out


def test_what_is_said_again_in_other_words_leaves_a_signature(run: Path) -> None:
    assert grade(run, "--limit", "max_flips=0.9", "--sign", "Ada") == 0
    assert grade(run, "--limit", "max_flips=0.90", "--limit", "max_auc_drop=0.01") == 0
    assert read_verdict(run / "report" / "verdict.json").decision.signed_by == "Ada"


def test_a_waiver_of_what_was_not_decided_is_none_of_what_failed(record: ReportRecord, run: Path) -> None:
    """Judged with less confidence, the same figure may fail the same limit for sure."""
    flips = record.variants[2].statistics
    assert flips is not None
    assert flips.drift is not None
    share = flips.drift.flips.share.share
    sure, unsure = "confidence = 0.80", "confidence = 0.9998"
    limits = run / "limits.toml"
    limits.write_text(f"{unsure}\n[limits]\nmax_flips = {share * 0.7}\n", encoding="utf-8")
    assert grade(run, "--limits", str(limits)) == 4
    assert grade(run, "--waive", "q8.max_flips=too few videos") == 0
    limits.write_text(f"{sure}\n[limits]\nmax_flips = {share * 0.7}\n", encoding="utf-8")
    assert grade(run, "--limits", str(limits)) == 3


def test_a_report_in_another_layout_is_graded_as_it_lies(run: Path) -> None:
    report = run / "report" / "report.json"
    report.write_text(json.dumps(json.loads(report.read_text()), indent=7) + "\n\n", encoding="utf-8")
    before = report.read_bytes()
    assert grade(run, "--sign", "Ada") == 3
    assert report.read_bytes() == before
    assert read_verdict(run / "report" / "verdict.json").report_sha256 == sha256_of_file(report)
    assert grade(run) == 3
    assert read_verdict(run / "report" / "verdict.json").decision.signed_by == "Ada"


def test_nothing_is_graded_while_another_command_writes(run: Path, capsys: Captured) -> None:
    (run / "spec.json").write_text("{}", encoding="utf-8")
    with locked(RunFolder(run)):
        assert grade(run) == 2
    assert "another command works on" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda verdict: verdict["limits"].update(confidence=1.0), "confidence = 1.0; expected"),
        (lambda verdict: verdict["limits"]["common"].update(max_auc_drop=0.0), "max_auc_drop = 0.0; expected"),
        (lambda verdict: verdict.update(schema_version=99), "schema_version 99"),
    ],
)
def test_a_damaged_verdict_is_told_and_can_be_forgotten(
    run: Path, capsys: Captured, damage: Callable[[dict[str, Any]], None], message: str
) -> None:
    path = run / "report" / "verdict.json"
    stored = json.loads(path.read_text())
    damage(stored)
    path.write_text(json.dumps(stored))
    assert grade(run) == 2
    err = capsys.readouterr().err
    assert message in err
    assert "verdict.json" in err
    assert grade(run, "--afresh") == 3


def test_a_report_that_lacks_scores_is_told(run: Path, capsys: Captured) -> None:
    report = run / "report" / "report.json"
    stored = json.loads(report.read_text())
    del stored["variants"][2]["statistics"]["scores"][0]
    report.write_text(json.dumps(stored))
    assert grade(run) == 2
    assert "99 scores of q8 for 100 videos" in capsys.readouterr().err


def test_nobody_signs_for_an_engine_that_was_changed(
    run: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert grade(run, "--sign", "Ada") == 3
    engine = run / "engines" / "q8.tensorrt.plan"
    engine.parent.mkdir()
    engine.write_bytes(b"another engine")
    assert grade(run, "--sign", "Ada") == 2
    assert "is not the engine that was scored" in capsys.readouterr().err
    monkeypatch.chdir(run / "report")
    assert grade(Path(), "--sign", "Ada") == 2
    report = run / "report" / "report.json"
    stored = json.loads(report.read_text())
    stored["variants"][2]["digests"]["engine"] = sha256_of_file(engine)
    report.write_text(json.dumps(stored))
    assert grade(run, "--sign", "Ada") == 3


def test_nothing_differs_between_a_report_and_its_copy(run: Path, capsys: Captured) -> None:
    assert cli_compare.main([str(run), str(run / "report")]) == 0
    assert "nothing changed but the time" in capsys.readouterr().out


def test_what_changed_between_two_reports_is_listed(run: Path, tmp_path: Path, capsys: Captured) -> None:
    other = tmp_path / "other"
    record = read_record(run / "report" / "report.json")
    q16, q8 = record.variants[1:]
    changed = replace(
        record,
        variants=(record.variants[0], replace(q16, size_bytes=q16.size_bytes * 2, digests={"engine": "99" * 32})),
        environment={"python": "3.12.1"},
        digests={"checkpoint": "77" * 32},
    )
    write_record(other / "report.json", changed)
    assert grade(other, "--limit", "max_size_mib=60") == 3
    capsys.readouterr()
    assert cli_compare.main([str(run), str(other)]) == 0
    rows = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "limits max_size_mib - 60" in rows
    assert "limits candidates q16, q8 q16" in rows
    assert "q16 grade PASS FAIL" in rows
    assert "q16 size 54.60 MiB 109.20 MiB" in rows
    assert "q16 engine sha256 030303030303 999999999999" in rows
    assert f"q8 AUC {q8.auc:.4f} -" in rows
    assert "sources checkpoint sha256 efefefefefef 777777777777" in rows
    assert "environment python 3.11.9 3.12.1" in rows
    assert not [row for row in rows if row.startswith("baseline AUC")]


def test_what_makes_a_comparison_doubtful_is_said(run: Path, tmp_path: Path, capsys: Captured) -> None:
    record = read_record(run / "report" / "report.json")
    moved = replace(record, dataset=replace(record.dataset, sha256="00" * 32))
    write_record(tmp_path / "never" / "report.json", moved)
    write_record(run / "report" / "report.json", replace(record, warnings=("a\x1b[31m line",)))
    assert cli_compare.main([str(run), str(tmp_path / "never")]) == 0
    out = capsys.readouterr().out
    assert "the test sets differ" in out
    assert "was never graded: run grade-report" in out
    assert "report.json changed since it was graded" in out
    assert "\x1b" not in out


def test_a_folder_without_a_report_cannot_be_compared(run: Path, capsys: Captured) -> None:
    assert cli_compare.main([str(run), str(run / "engines")]) == 2
    assert "no report at" in capsys.readouterr().err
