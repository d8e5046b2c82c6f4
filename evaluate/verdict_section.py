"""The verdict that the report opens with, and the record of the decision that it ends with."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from evaluate.markdown_table import escaped, markdown_table

if TYPE_CHECKING:
    from evaluate.markdown_table import Alignment
    from evaluate.verdict.verdict import Finding, VariantVerdict, Verdict

_GRADES = ("PASS", "FAIL", "INCONCLUSIVE")


def verdict_section_lines(verdict: Verdict) -> list[str]:
    """Returns what opens the report: one row per variant, who signed, and what was waived."""
    header = ["Model", "Grade", "Decided by", "Next step"]
    rows = [_verdict_row(variant) for variant in verdict.variants]
    lines = [f"## Verdict: {verdict.grade}", _count_sentence(verdict), ""]
    lines += [*markdown_table(header, ["left"] * 4, rows), ""]
    lines += [f"- {sentence}" for sentence in (*_dominated(verdict), *_waivers(verdict), _signature(verdict))]
    if any(variant.grade == "INCONCLUSIVE" for variant in verdict.variants):
        lines += [
            "",
            "INCONCLUSIVE: with this test set, it is shown neither that a limit is kept nor that it is missed.",
        ]
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
        "Bound is the end of the figure's interval that was held against the limit; - where the figure is exact. A "
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
        reason = "<br>".join(escaped(finding.reason) for finding in deciding)
        step = "<br>".join(dict.fromkeys(escaped(finding.next_step) for finding in deciding if finding.next_step))
    return [f"**{escaped(variant.variant)}**{note}", f"**{variant.grade}**", reason, step or "-"]


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


def _dominated(verdict: Verdict) -> list[str]:
    return [
        f"{escaped(variant.variant)} is dominated: {escaped(variant.dominated_by)} is no larger, no slower and no "
        "worse, and better in one of them."
        for variant in verdict.variants
        if variant.dominated_by
    ]


def _waivers(verdict: Verdict) -> list[str]:
    return [
        f"Waived for {escaped(variant.variant)}: {finding.limit} ({finding.grade}), because "
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
    figures = (finding.allowed, finding.measured, finding.bound)
    waived = escaped(finding.waived) or "-"
    return [f"**{escaped(variant.variant)}**", finding.limit, *map(_figure_text, figures), finding.grade, waived]


def _figure_text(figure: float | None) -> str:
    return "-" if figure is None else f"{figure:.5g}"
