"""The verdict that the report opens with, and the record of the decision that it ends with."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from evaluate.page.limit_text import limit_bound, limit_value
from evaluate.sections.markdown_table import escaped, markdown_table
from evaluate.verdict.domination import domination_sentences
from evaluate.verdict.verdict_lines import grade_text

if TYPE_CHECKING:
    from evaluate.record import ReportRecord
    from evaluate.sections.markdown_table import Alignment
    from evaluate.verdict.verdict import Finding, VariantVerdict, Verdict

_INCONCLUSIVE = "INCONCLUSIVE: with this test set, it is shown neither that a limit is kept nor that it is missed."
_SIMULATED = (
    "PASS (simulated): the limits are kept by scores that only simulate the arithmetic of the target. Evaluate the "
    "engine on the target before it ships."
)
_GRADES = ("PASS", "FAIL", "INCONCLUSIVE")


def verdict_section_lines(record: ReportRecord, verdict: Verdict) -> list[str]:
    """Returns what opens the report: one row per variant, who signed, and what was waived."""
    header = ["Model", "Grade", "Decided by", "Next step"]
    rows = [_verdict_row(variant) for variant in verdict.variants]
    sentences = (*map(escaped, domination_sentences(record, verdict)), *_waivers(verdict), _signature(verdict))
    lines = [f"## Verdict: {verdict.grade}", _count_sentence(verdict), ""]
    lines += [*markdown_table(header, ["left"] * 4, rows), "", *(f"- {sentence}" for sentence in sentences)]
    if any(variant.grade == "INCONCLUSIVE" for variant in verdict.variants):
        lines += ["", _INCONCLUSIVE]
    if any(grade_text(variant) != variant.grade for variant in verdict.variants):
        lines += ["", _SIMULATED]
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
        "Bound is the end of the figure's interval that was held against the limit; – where the figure is exact. A "
        "waived limit does not count.",
    ]


def finding_of(verdict: Verdict | None, variant: str, limit: str) -> Finding | None:
    """Returns what a variant made of a limit, if that was asked for."""
    if verdict is None:
        return None
    found = [f for entry in verdict.variants if entry.variant == variant for f in entry.findings if f.limit == limit]
    return found[0] if found else None


def _verdict_row(variant: VariantVerdict) -> list[str]:
    note = "" if variant.is_candidate else " (not a candidate)"
    deciding = [f for f in variant.findings if f.grade == variant.grade and not f.waived]
    if variant.grade == "PASS":
        reason, step = _kept_text(variant), ""
    else:
        reason = "<br>".join(f"`{finding.limit}`: {escaped(finding.reason)}" for finding in deciding)
        step = "<br>".join(dict.fromkeys(escaped(finding.next_step) for finding in deciding if finding.next_step))
    return [f"**{escaped(variant.variant)}**{note}", f"**{grade_text(variant)}**", reason, step or "-"]


def _kept_text(variant: VariantVerdict) -> str:
    waived = sum(bool(finding.waived) for finding in variant.findings)
    if not variant.findings:
        return "no limit applies"
    text = f"{len(variant.findings) - waived} of {len(variant.findings)} limits kept"
    return f"{text}, {waived} waived" if waived else text


def _count_sentence(verdict: Verdict) -> str:
    candidates = [variant for variant in verdict.variants if variant.is_candidate]
    if not candidates:
        return "There is no candidate to sign off."
    counts = Counter(variant.grade for variant in candidates)
    found = ", ".join(f"{counts[grade]} {grade}" for grade in _GRADES if counts[grade])  # type: ignore[index]
    plural = "candidate" if len(candidates) == 1 else "candidates"
    return f"{len(candidates)} {plural}: {found}. The verdict is the worst of them."


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
        limit_bound(limit, finding.allowed),
        limit_value(limit, finding.measured),
        limit_value(limit, finding.bound),
        finding.grade,
        escaped(finding.waived) or "–",
    ]
