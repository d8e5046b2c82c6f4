"""A report and its limits in, a grade with reasons for every variant out."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from evaluate.record import BASELINE
from evaluate.verdict.auc_grading import AUC_DROP_LIMITS, IDENTICAL, auc_drop_findings, min_auc_findings
from evaluate.verdict.domination import dominated_by
from evaluate.verdict.evidence import evidence_from_record
from evaluate.verdict.exact_grading import EXACT_LIMITS, exact_finding
from evaluate.verdict.limit_range import nearest_name
from evaluate.verdict.next_step import next_step
from evaluate.verdict.not_measured import not_measured_finding
from evaluate.verdict.share_grading import SHARE_LIMITS, share_finding
from evaluate.verdict.verdict import Finding, VariantVerdict, worst_grade
from export.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evaluate.record import ReportRecord, VariantResult
    from evaluate.verdict.evidence import Evidence
    from evaluate.verdict.limits import LimitsFile

# A baseline does not differ from itself.
_AGAINST_BASELINE = (*AUC_DROP_LIMITS, "max_flips", "max_cam_drift", "max_slice_auc_drop")
_OF_THE_FILE = ("max_size_mib", "max_latency_ms", "max_cam_drift")


def variant_verdicts(record: ReportRecord, limits: LimitsFile) -> tuple[VariantVerdict, ...]:
    """Judges every variant of a report; no engine runs.

    Limits on the loss of AUC are judged for all candidates at one family-wise level (Holm), and for the other variants
    at another.

    Raises:
        DataError: The limits name a variant that the report does not have, or leave a candidate without any limit.
    """
    names = [variant.name for variant in record.variants]
    candidates = candidates_of(limits, names)
    allowed = {name: _applicable(limits, name) for name in names}
    evidence = evidence_from_record(record, limits.confidence)
    others = [name for name in allowed if name not in candidates]
    from_scores = {
        **_findings_from_scores(evidence, {name: allowed[name] for name in candidates}),
        **_findings_from_scores(evidence, {name: allowed[name] for name in others}),
    }
    return tuple(
        _verdict(record, evidence, variant, allowed[variant.name], from_scores, variant.name in candidates)
        for variant in record.variants
    )


def candidates_of(limits: LimitsFile, names: Sequence[str]) -> tuple[str, ...]:
    """Returns the variants that a verdict would depend on, before anything of them is measured.

    Args:
        limits: What they would be judged by.
        names: The variants that there are.

    Raises:
        DataError: The limits name a variant that there is not, or leave a candidate without any limit, or there is no
            candidate.
    """
    for name in (*limits.candidates, *limits.of_variant):
        if name not in names:
            raise DataError(
                f"{limits.source}: the report has no variant {name[:60]!r}; {nearest_name(name, names)} "
                "(evaluate-engines reports what build-engines built)"
            )
    candidates = limits.candidates or tuple(name for name in names if name != BASELINE)
    if not candidates:
        raise DataError("the report has no variant but the baseline; build another one, or name candidates in limits")
    for name in candidates:
        if not _applicable(limits, name):
            raise DataError(f"{limits.source}: no limit applies to the candidate {name}; state one, such as min_auc")
    return candidates


def _applicable(limits: LimitsFile, name: str) -> dict[str, float]:
    stated = limits.limits_of(name).stated
    return {limit: value for limit, value in stated.items() if name != BASELINE or limit not in _AGAINST_BASELINE}


def _findings_from_scores(evidence: Evidence, allowed: dict[str, dict[str, float]]) -> dict[tuple[str, str], Finding]:
    """Returns (variant, limit) -> finding for the limits that are judged for several variants at once."""
    findings: dict[tuple[str, str], Finding] = {}
    for limit in (*AUC_DROP_LIMITS, "min_auc"):
        of_limit = {
            name: stated[limit] for name, stated in allowed.items() if limit in stated and name in evidence.scores
        }
        if limit == "min_auc":
            found = min_auc_findings(evidence, of_limit)
        elif of_limit and evidence.baseline is not None:
            found = auc_drop_findings(evidence, limit, of_limit)
        else:
            continue
        findings |= {(name, limit): finding for name, finding in found.items()}
    return findings


def _verdict(
    record: ReportRecord,
    evidence: Evidence,
    variant: VariantResult,
    allowed: dict[str, float],
    from_scores: dict[tuple[str, str], Finding],
    is_candidate: bool,
) -> VariantVerdict:
    findings = []
    for limit, value in allowed.items():
        finding = from_scores.get((variant.name, limit)) or _finding(evidence, variant, limit, value)
        finding = finding or not_measured_finding(record, variant, limit, value)
        findings.append(_with_caveats(record, variant, finding))
    return VariantVerdict(
        variant=variant.name,
        grade=worst_grade(finding.grade for finding in findings),
        findings=tuple(findings),
        is_candidate=is_candidate,
        dominated_by=dominated_by(record, evidence, variant),
        simulation=variant.simulation,
    )


def _finding(evidence: Evidence, variant: VariantResult, limit: str, allowed: float) -> Finding | None:
    if limit in ("max_flips", "max_slice_auc_drop") and evidence.is_identical(variant.name):
        return Finding(limit, allowed, 0.0, None, "PASS", IDENTICAL)
    if limit in SHARE_LIMITS:
        return share_finding(limit, allowed, variant, evidence)
    return exact_finding(limit, allowed, variant) if limit in EXACT_LIMITS else None


def _with_caveats(record: ReportRecord, variant: VariantResult, finding: Finding) -> Finding:
    """Adds what a PASS does not vouch for, or what mends anything else."""
    if finding.grade != "PASS":
        return replace(finding, next_step=finding.next_step or next_step(record, variant, finding))
    caveats = []
    if variant.is_simulation and finding.limit not in _OF_THE_FILE:
        caveats.append(f"judged by simulated scores: {variant.simulation}")
    if record.is_partial:
        caveats.append("judged by partial data: videos are missing for some variant")
    return replace(finding, reason="; ".join((finding.reason, *caveats)))
