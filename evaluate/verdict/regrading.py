"""`grade-report` as one call: a report folder and limits in, a verdict and the report with it out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from evaluate.report import write_report
from evaluate.verdict.decision import graded, signed, waived, waivers_of
from evaluate.verdict.limits import LimitsFile, limits_from_file, with_limit
from evaluate.verdict.report_folder import stored_report
from evaluate.verdict.signing import require_unchanged_files
from evaluate.verdict.verdict import Decision, write_verdict

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from evaluate.record import ReportRecord
    from evaluate.verdict.decision import Waivers
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

    Waivers of the verdict before stay where the same figure misses the same limit; its signature stays if nothing
    changed at all.

    Raises:
        SignoffError: Anything the user can mend, such as limits on a variant that the report does not have.
    """
    stored = stored_report(request.run)
    before = None if request.afresh else stored.verdict
    notes = []
    if stored.is_outdated and before is not None:
        notes.append(
            f"report.json changed since the verdict of {before.graded_utc}: its waivers and its signature do not hold"
        )
    limits = limits_of_request(request.limits, request.changes, before)
    plain = graded(stored.record, limits, stored.sha256)
    kept = {} if before is None or stored.is_outdated else _kept_waivers(before, plain)
    if before is not None and not stored.is_outdated:
        notes += [f"the waiver of {'.'.join(key)} no longer applies" for key in waivers_of(before) if key not in kept]
    verdict = waived(plain, kept | (request.waivers or {}))
    if request.signed_by:
        require_unchanged_files(stored)
        verdict = signed(verdict, request.signed_by, request.note)
    elif before is not None and before.decision.signed_by:
        verdict, note = _with_signature_before(verdict, before)
        notes += [note] if note else []
    write_verdict(stored.folder / "verdict.json", verdict)
    paths = write_report(stored.folder, stored.record, verdict)
    return Reported(stored.record, verdict, (stored.folder / "verdict.json", *paths), tuple(notes))


def reported_without_verdict(folder: Path, record: ReportRecord) -> Reported:
    """Writes the report of a baseline alone, which there is nothing to compare with; a verdict before is removed."""
    (folder / "verdict.json").unlink(missing_ok=True)
    return Reported(record, None, write_report(folder, record), ())


def limits_of_request(file: Path | None, changes: Sequence[str], before: Verdict | None = None) -> LimitsFile:
    """Returns the limits to judge by.

    Args:
        file: limits.toml; None for the limits of the verdict before, or the default ones.
        changes: Such as `q8.max_flips=0.01`, applied in order.
        before: The verdict before.

    Raises:
        DataError: The file or a change is not what limits look like.
    """
    limits = limits_from_file(file) if file is not None else before.limits if before is not None else LimitsFile()
    for change in changes:
        limits = with_limit(limits, change)
    return limits


def _kept_waivers(before: Verdict, plain: Verdict) -> Waivers:
    """Returns the waivers of limits that are still missed and still the same."""
    missed = {
        (entry.variant, finding.limit): finding.allowed
        for entry in plain.variants
        for finding in entry.findings
        if finding.grade != "PASS"
    }
    allowed = {(entry.variant, f.limit): f.allowed for entry in before.variants for f in entry.findings}
    return {key: reason for key, reason in waivers_of(before).items() if missed.get(key) == allowed[key]}


def _with_signature_before(verdict: Verdict, before: Verdict) -> tuple[Verdict, str]:
    unsigned = replace(before, graded_utc=verdict.graded_utc, decision=Decision())
    if unsigned == verdict:
        return before, ""
    return verdict, f"the signature of {before.decision.signed_by} was for another verdict and is gone; sign again"
