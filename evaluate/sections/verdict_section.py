"""The verdict that the report opens with, and the record of the decision that it ends with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluate.sections.markdown_table import escaped, markdown_table
from evaluate.verdict.domination import domination_sentences
from evaluate.verdict.grade_text import stated_limit_text
from evaluate.verdict.limit_range import is_lower_limit
from evaluate.verdict.limit_text import limit_value
from evaluate.verdict.limits import Limits
from evaluate.verdict.verdict_lines import grade_text
from evaluate.verdict.verdict_text import (
    decision_threshold_sentence,
    grade_meanings,
    is_reference,
    run_grade_text,
    verdict_sentence,
)

if TYPE_CHECKING:
    from evaluate.record import ReportRecord
    from evaluate.sections.markdown_table import Alignment
    from evaluate.verdict.limits import LimitsFile
    from evaluate.verdict.verdict import Finding, VariantVerdict, Verdict


def verdict_section_lines(record: ReportRecord, verdict: Verdict) -> list[str]:
    """Returns what opens the report: one row per variant, who signed, and what was waived."""
    header = ["Model", "Grade", "Decided by", "Next step"]
    rows = [_verdict_row(variant, verdict) for variant in verdict.variants]
    sentences = (*map(escaped, domination_sentences(record, verdict)), *_waivers(verdict), _signature(verdict))
    lines = [
        f"## Verdict: {run_grade_text(verdict)}",
        f"{verdict_sentence(verdict)} The verdict is the worst of the candidates' grades.",
        "",
    ]
    lines += [*markdown_table(header, ["left"] * 4, rows), ""]
    if threshold := decision_threshold_sentence(record, verdict):
        lines += [threshold, ""]
    lines += [f"- {sentence}" for sentence in sentences]
    for meaning in grade_meanings(verdict):
        lines += ["", meaning]
    return lines


def decision_lines(verdict: Verdict) -> list[str]:
    """Returns the record of the decision: what was asked for and every finding."""
    return [
        "### Decision Record",
        "",
        f"- {_signature(verdict)}",
        f"- Graded {escaped(verdict.graded_utc)} by {escaped(verdict.limits.source)}, every bound at "
        f"{100 * verdict.limits.confidence:g}% confidence.",
        f"- The report.json that was graded has sha256 {verdict.report_sha256}.",
        "",
        *_finding_table(verdict),
        "",
        "Bound is what was held against the limit: a one-sided bound of the figure, that of a loss of AUC corrected "
        "by Holm over all variants judged at once. It is not the end of the two-sided 95% intervals of the other "
        "sections. –: the figure is compared as it is. A waived limit does not count.",
    ]


def finding_of(verdict: Verdict | None, variant: str, limit: str) -> Finding | None:
    """Returns what a variant made of a limit, if that was asked for."""
    if verdict is None:
        return None
    found = [f for entry in verdict.variants if entry.variant == variant for f in entry.findings if f.limit == limit]
    return found[0] if found else None


def _verdict_row(variant: VariantVerdict, verdict: Verdict) -> list[str]:
    if is_reference(variant):
        return [f"**{escaped(variant.variant)}**", "reference", "-", "-"]
    note = "" if variant.is_candidate else " (not a candidate)"
    deciding = [f for f in variant.findings if f.grade == variant.grade and not f.waived]
    if variant.grade == "PASS":
        reason, step = _kept_text(variant, verdict), ""
    else:
        reason = "<br>".join(f"`{finding.limit}`: {escaped(finding.reason)}" for finding in deciding)
        step = "<br>".join(dict.fromkeys(escaped(finding.next_step) for finding in deciding if finding.next_step))
    return [f"**{escaped(variant.variant)}**{note}", f"**{grade_text(variant)}**", reason, step or "-"]


def _kept_text(variant: VariantVerdict, verdict: Verdict) -> str:
    waived = sum(bool(finding.waived) for finding in variant.findings)
    if not variant.findings:
        return "no limit applies"
    text = f"{len(variant.findings) - waived} of {len(variant.findings)} limits kept"
    return ", ".join([text, *([f"{waived} waived"] if waived else []), *_relaxed(variant, verdict.limits)])


def _relaxed(variant: VariantVerdict, limits: LimitsFile) -> list[str]:
    """Names the limits that were kept because this variant has a weaker one of its own."""
    own = limits.of_variant.get(variant.variant, Limits()).stated
    relaxed = []
    for finding in variant.findings:
        limit, common = finding.limit, limits.common.stated.get(finding.limit)
        if limit not in own or common is None or finding.waived:
            continue
        if own[limit] < common if is_lower_limit(limit) else own[limit] > common:
            relaxed.append(f"`{limit}` relaxed to {stated_limit_text(limit, own[limit])}")
    return relaxed


def _waivers(verdict: Verdict) -> list[str]:
    return [
        f"Waived for {escaped(variant.variant)}: `{finding.limit}` ({finding.grade}), because "
        f"{escaped(finding.waived.rstrip('.'))}."
        for variant in verdict.variants
        for finding in variant.findings
        if finding.waived
    ]


def _signature(verdict: Verdict) -> str:
    decision = verdict.decision
    if not decision.signed_by:
        return "Nobody has signed this."
    note = f": {escaped(decision.note)}" if decision.note else "."
    return f"Signed by {escaped(decision.signed_by)} on {escaped(decision.signed_utc)}{note}"


def _finding_table(verdict: Verdict) -> list[str]:
    header = ["Model", "Limit", "Allowed", "Measured", "Bound", "Grade", "Waived"]
    alignments: tuple[Alignment, ...] = ("left", "left", "right", "right", "right", "left", "left")
    rows = [_finding_row(variant, finding) for variant in verdict.variants for finding in variant.findings]
    return markdown_table(header, alignments, rows)


def _finding_row(variant: VariantVerdict, finding: Finding) -> list[str]:
    limit = finding.limit
    return [
        f"**{escaped(variant.variant)}**",
        f"`{limit}`",
        f"{'≥' if is_lower_limit(limit) else '≤'} {stated_limit_text(limit, finding.allowed)}",
        limit_value(limit, finding.measured),
        limit_value(limit, finding.bound),
        finding.grade,
        escaped(finding.waived) or "–",
    ]
