"""`grade-report` as one call: a report folder and limits in, a verdict and the report with it out."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from engines.run_folder import RunFolder, locked
from evaluate.report import render_report, write_report
from evaluate.verdict.decision import graded, signed, waived, waivers_of
from evaluate.verdict.limits import LimitsFile, limits_from_file, with_limit
from evaluate.verdict.report_folder import report_folder, stored_report, stored_verdict
from evaluate.verdict.signing import require_unchanged_files
from evaluate.verdict.verdict import Decision, write_verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from evaluate.record import ReportRecord
    from evaluate.verdict.decision import Waivers
    from evaluate.verdict.report_folder import StoredReport
    from evaluate.verdict.verdict import Verdict


@dataclass(frozen=True)
class GradeRequest:
    """What `grade-report` was asked for.

    Attributes:
        run: A run folder or its report folder.
        limits: limits.toml; None for the limits of the verdict before, or the default ones.
        changes: Such as `q8.max_flips=0.01`, applied in order.
        waivers: (variant, limit) -> why the variant may miss it.
        signed_by: Name of the person who decides; empty for no signature.
        note: What they want to be read with it.
        afresh: Whether limits, waivers and signature of the verdict before are left out of account.
    """

    run: Path
    limits: Path | None = None
    changes: tuple[str, ...] = ()
    waivers: Waivers | None = None
    signed_by: str = ""
    note: str = ""
    afresh: bool = False


@dataclass(frozen=True)
class Criteria:
    """What a report is judged by.

    Attributes:
        limits: The limits.
        before: The verdict before; None if there is none, or it is left out of account.
        is_stated: Whether limits were given, rather than carried over from the verdict before or by default.
    """

    limits: LimitsFile
    before: Verdict | None
    is_stated: bool


@dataclass(frozen=True)
class Reported:
    """A report that was written, and what grading came to.

    Attributes:
        record: What was graded.
        verdict: What was made of it; None where there was nothing but a baseline.
        paths: The files a reader opens first.
        notes: What became of the verdict before, one sentence each.
    """

    record: ReportRecord
    verdict: Verdict | None
    paths: tuple[Path, ...]
    notes: tuple[str, ...]


def grade_report(request: GradeRequest) -> Reported:
    """Grades a report again, keeps the verdict as verdict.json and renders the report with it; no engine runs.

    Waivers of the verdict before stay where the same figure misses the same limit in the same way; its signature stays
    if nothing changed at all.

    Raises:
        SignoffError: Anything the user can mend, such as limits on a variant that the report does not have.
    """
    folder = report_folder(request.run)
    with _held(folder.resolve().parent):
        stored = stored_report(folder, request.afresh)
        criteria = criteria_of(folder, request.limits, request.changes, request.afresh)
        return regraded(stored, criteria, request)


def regraded(stored: StoredReport, criteria: Criteria, request: GradeRequest) -> Reported:
    """Grades what lies in a report folder, as `grade_report` does; the run folder is held by the caller.

    Raises:
        SignoffError: As for `grade_report`.
    """
    before, notes = criteria.before, []
    is_outdated = before is not None and before.report_sha256 != stored.sha256
    plain = graded(stored.record, criteria.limits, stored.sha256)
    if before is not None and is_outdated and (waivers_of(before) or before.decision.signed_by):
        notes.append(
            f"report.json changed since the verdict of {before.graded_utc}: its waivers and its signature do not hold"
        )
    kept = {} if before is None or is_outdated else _kept_waivers(before, plain)
    if before is not None and not is_outdated:
        notes += [f"the waiver of {'.'.join(key)} no longer applies" for key in waivers_of(before) if key not in kept]
    verdict = waived(plain, kept | (request.waivers or {}))
    if request.signed_by:
        require_unchanged_files(stored)
        verdict = signed(verdict, request.signed_by, request.note)
    elif before is not None and before.decision.signed_by and not is_outdated:
        verdict, note = _with_signature_before(verdict, before)
        notes += [note] if note else []
    paths = render_report(stored.folder, stored.record, verdict)
    # Last, so that a verdict never lies beside a report that was not rendered with it.
    write_verdict(stored.folder / "verdict.json", verdict)
    return Reported(stored.record, verdict, (stored.folder / "verdict.json", *paths), tuple(notes))


def criteria_of(folder: Path, file: Path | None, changes: Sequence[str], afresh: bool = False) -> Criteria:
    """Returns what a report is to be judged by, before anything is measured.

    Args:
        folder: Report folder, which may have a verdict.
        file: limits.toml; None for the limits of the verdict before, or the default ones.
        changes: Such as `q8.max_flips=0.01`, applied in order.
        afresh: Whether the verdict before is left out of account.

    Raises:
        DataError: The file or a change is not what limits look like.
        ArtifactError: verdict.json is damaged.
    """
    before = None if afresh else stored_verdict(folder)
    carried_over = before.limits if before is not None else LimitsFile()
    limits = limits_from_file(file) if file is not None else carried_over
    for change in changes:
        limits = with_limit(limits, change)
    return Criteria(limits, before, is_stated=file is not None or bool(changes))


def reported_without_verdict(folder: Path, record: ReportRecord) -> Reported:
    """Writes the report of a baseline alone, which there is nothing to compare with; a verdict before is removed."""
    paths = write_report(folder, record)
    verdict = folder / "verdict.json"
    notes = (f"removed {verdict}: it was about variants that the run no longer has",) if verdict.is_file() else ()
    verdict.unlink(missing_ok=True)
    return Reported(record, None, paths, notes)


@contextmanager
def _held(run: Path) -> Iterator[None]:
    """Holds the run folder, if it is one, so that no evaluation writes another report meanwhile."""
    folder = RunFolder(run)
    if folder.spec.is_file():
        with locked(folder):
            yield
    else:
        yield


def _kept_waivers(before: Verdict, plain: Verdict) -> Waivers:
    """Returns the waivers of limits that are still missed in the same way and still the same."""
    missed = {
        (entry.variant, finding.limit): (finding.allowed, finding.grade)
        for entry in plain.variants
        for finding in entry.findings
        if finding.grade != "PASS"
    }
    waived_as = {
        (entry.variant, finding.limit): (finding.allowed, finding.grade)
        for entry in before.variants
        for finding in entry.findings
    }
    return {key: reason for key, reason in waivers_of(before).items() if missed.get(key) == waived_as[key]}


def _with_signature_before(verdict: Verdict, before: Verdict) -> tuple[Verdict, str]:
    # Limits that are the same stay signed, wherever they were read from.
    limits = replace(before.limits, source=verdict.limits.source)
    unsigned = replace(before, graded_utc=verdict.graded_utc, decision=Decision(), limits=limits)
    if unsigned == verdict:
        return before, ""
    return verdict, f"the signature of {before.decision.signed_by} was for another verdict and is gone; sign again"
