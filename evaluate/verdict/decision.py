"""Verdicts on a report, as they were decided: graded, waived and signed."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from evaluate.verdict.grading import variant_verdicts
from evaluate.verdict.limit_range import RANGES, nearest_name
from evaluate.verdict.verdict import Decision, Verdict, worst_grade
from export.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from evaluate.record import ReportRecord
    from evaluate.statistics.noninferiority import Grade
    from evaluate.verdict.limits import LimitsFile
    from evaluate.verdict.verdict import Finding, VariantVerdict

# (variant, limit) -> why the variant may miss it.
Waivers = dict[tuple[str, str], str]


def graded(
    record: ReportRecord,
    limits: LimitsFile,
    report_sha256: str = "",
    waivers: Mapping[tuple[str, str], str] | None = None,
) -> Verdict:
    """Returns the verdict on a report; no engine runs.

    Args:
        record: What report.json holds.
        limits: What to judge it by.
        report_sha256: Digest of report.json.
        waivers: (variant, limit) -> why the variant may miss it.

    Raises:
        DataError: The limits or a waiver name what is not there, or a waiver is for a limit that is kept.
    """
    variants = variant_verdicts(record, limits)
    verdict = Verdict(
        graded_utc=now_utc(),
        grade=_grade_of_run(variants),
        variants=variants,
        limits=limits,
        decision=Decision(),
        digests=digests_of_report(record),
        report_sha256=report_sha256,
    )
    return waived(verdict, waivers or {})


def waived(verdict: Verdict, waivers: Mapping[tuple[str, str], str]) -> Verdict:
    """Waives limits, and grades by what is left.

    Raises:
        DataError: A waiver has no reason, or there is nothing that it could waive.
    """
    findings = {(entry.variant, finding.limit): finding for entry in verdict.variants for finding in entry.findings}
    for key, reason in waivers.items():
        _check_waiver(key, reason, findings)
    variants = []
    for entry in verdict.variants:
        kept = tuple(replace(f, waived=waivers.get((entry.variant, f.limit), f.waived)) for f in entry.findings)
        grade = worst_grade(finding.grade for finding in kept if not finding.waived)
        variants.append(replace(entry, findings=kept, grade=grade))
    return replace(verdict, variants=tuple(variants), grade=_grade_of_run(variants))


def waiver_from_text(text: str) -> tuple[tuple[str, str], str]:
    """Reads what a command line says: `q8.max_flips=reason`.

    Raises:
        DataError: The text has another form, or gives no reason.
    """
    key, equals, reason = text.partition("=")
    variant, dot, limit = key.strip().rpartition(".")
    if not equals or not dot or not variant:
        raise DataError(f"--waive {text[:60]!r}; expected VARIANT.LIMIT=REASON, such as q8.max_flips='as agreed'")
    if limit not in RANGES:
        raise DataError(f"--waive {text[:60]!r}: unknown limit {limit[:40]!r}; {nearest_name(limit, RANGES)}")
    if not reason.strip():
        raise DataError(f"--waive {key[:60]}: a waiver needs a reason; write it after the equals sign")
    return (variant, limit), " ".join(reason.split())


def signed(verdict: Verdict, name: str, note: str = "") -> Verdict:
    """Returns the verdict with a signature.

    Raises:
        DataError: The name is empty.
    """
    require_name(name)
    return replace(verdict, decision=Decision(" ".join(name.split()), now_utc(), " ".join(note.split())))


def require_name(name: str) -> None:
    """Refuses a signature without a name.

    Raises:
        DataError: The name is empty.
    """
    if not name.strip():
        raise DataError("--sign ''; expected the name of the person who decides")


def waivers_of(verdict: Verdict) -> Waivers:
    """Returns the waivers that a verdict holds."""
    return {
        (entry.variant, finding.limit): finding.waived
        for entry in verdict.variants
        for finding in entry.findings
        if finding.waived
    }


def digests_of_report(record: ReportRecord) -> dict[str, str]:
    """Returns name -> sha256 of everything that a report's figures come from."""
    digests = {"test set": record.dataset.sha256, **record.digests}
    if record.calibration is not None:
        digests["calibration set"] = record.calibration.sha256
    if record.validation is not None:
        digests["validation set"] = record.validation.sha256
    for variant in record.variants:
        digests |= {f"{name} of {variant.name}": sha256 for name, sha256 in variant.digests.items()}
    return digests


def now_utc() -> str:
    """Returns the time in ISO 8601."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def _grade_of_run(variants: Iterable[VariantVerdict]) -> Grade:
    return worst_grade(variant.grade for variant in variants if variant.is_candidate)


def _check_waiver(key: tuple[str, str], reason: str, findings: Mapping[tuple[str, str], Finding]) -> None:
    name = ".".join(key)
    finding = findings.get(key)
    if finding is None:
        known = [".".join(each) for each in findings]
        raise DataError(f"nothing to waive at {name[:80]!r}: that limit was not judged; {nearest_name(name, known)}")
    if finding.grade == "PASS":
        raise DataError(f"nothing to waive at {name}: it is PASS; leave the waiver out")
    if not reason.strip():
        raise DataError(f"the waiver of {name} has no reason; a waiver needs one")
