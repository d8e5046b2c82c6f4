"""What a verdict comes to, in a sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluate.record import BASELINE
from evaluate.verdict.domination import domination_sentences
from evaluate.verdict.grade_text import stated_limit_text
from evaluate.verdict.limit_range import is_lower_limit
from evaluate.verdict.limit_text import limit_name
from evaluate.verdict.share_grading import SHARE_LIMITS, deciding_point
from evaluate.verdict.verdict_lines import grade_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evaluate.record import ReportRecord, VariantResult
    from evaluate.verdict.verdict import Finding, VariantVerdict, Verdict

_INCONCLUSIVE = "INCONCLUSIVE: with this test set, it is shown neither that a limit is kept nor that it is missed."
_SIMULATED = (
    "PASS (simulated): the limits are kept by scores that only simulate the arithmetic of the target. Evaluate the "
    "engine on the target before it ships."
)


def verdict_sentence(verdict: Verdict) -> str:
    """Returns how many candidates have which grade, as in `2 of 5 candidates pass, 1 is undecided, 2 fail.`.

    Those that pass by simulated scores or with a waiver are counted in brackets.
    """
    candidates = [entry for entry in verdict.variants if entry.is_candidate]
    grades = [entry.grade for entry in candidates]
    parts = []
    for grade, one, many in (
        ("PASS", "passes", "pass"),
        ("INCONCLUSIVE", "is undecided", "are undecided"),
        ("FAIL", "fails", "fail"),
    ):
        count = grades.count(grade)  # type: ignore[arg-type]  # a literal of the loop
        if count:
            caveats = _caveats([entry for entry in candidates if entry.grade == grade]) if grade == "PASS" else ""
            parts.append((count, (one if count == 1 else many) + caveats))
    if not parts:
        return "No variant was a candidate."
    (first, verb), *others = parts
    of = f"{first} of {len(grades)} candidates" if len(grades) > 1 else "The only candidate"
    return ", ".join([f"{of} {verb}", *(f"{count} {words}" for count, words in others)]) + "."


def smallest_passing(record: ReportRecord, verdict: Verdict) -> VariantResult | None:
    """Returns the smallest candidate that passes and that no other dominates; the better of equals."""
    passing = {v.variant for v in verdict.variants if v.is_candidate and v.grade == "PASS" and not v.dominated_by}
    found = [variant for variant in record.variants if variant.name in passing and variant.name != BASELINE]
    return min(found, key=lambda variant: (variant.size_bytes, -variant.auc), default=None)


def main_reason(entry: VariantVerdict) -> str:
    """Returns the limits that decide a variant's grade, as in `AUC drop, Size`; of a PASS, those that were waived."""
    if entry.grade == "PASS":
        names = [limit_name(finding.limit) for finding in entry.findings if finding.waived]
        return f"{len(names)} limit{'s' if len(names) > 1 else ''} waived: {', '.join(names)}" if names else ""
    deciding = [f for f in entry.findings if f.grade == entry.grade and not f.waived]
    return ", ".join(limit_name(finding.limit) for finding in deciding)


def run_grade_text(verdict: Verdict) -> str:
    """Returns the run's grade in words: `PASS (simulated)` where a candidate passes by simulated scores."""
    if verdict.grade != "PASS":
        return verdict.grade
    return next((t for e in verdict.variants if e.is_candidate and (t := grade_text(e)) != e.grade), verdict.grade)


def pass_caveat(entry: VariantVerdict) -> str:
    """Returns what a PASS does not tell, as in ` (by simulated scores)`; empty where nothing."""
    caveats = ["by simulated scores"] if entry.simulation else []
    if any(finding.waived for finding in entry.findings):
        caveats.append("with a waiver")
    return f" ({', '.join(caveats)})" if caveats else ""


def waivers(verdict: Verdict) -> list[tuple[VariantVerdict, Finding]]:
    """Returns the findings that were waived, with the variant of each."""
    return [(entry, finding) for entry in verdict.variants for finding in entry.findings if finding.waived]


def relaxed_limits(verdict: Verdict, variant: str) -> list[str]:
    """Returns a variant's own limits that are weaker than the common ones, as in `max_flips relaxed to 10%`."""
    own, common = verdict.limits.of_variant.get(variant), verdict.limits.common.stated
    relaxed = []
    for limit, allowed in own.stated.items() if own else ():
        if limit in common and (allowed < common[limit] if is_lower_limit(limit) else allowed > common[limit]):
            relaxed.append(f"{limit} relaxed to {stated_limit_text(limit, allowed)}")
    return relaxed


def domination_notes(record: ReportRecord, verdict: Verdict) -> dict[str, str]:
    """Returns variant -> by what it is dominated, and what to ship instead."""
    names = [entry.variant for entry in verdict.variants if entry.dominated_by]
    return dict(zip(names, domination_sentences(record, verdict), strict=True))


def decision_threshold_sentence(record: ReportRecord, verdict: Verdict) -> str:
    """Returns at which threshold decisions were graded; empty where no limit is about them."""
    judged = {finding.limit for entry in verdict.variants for finding in entry.findings if finding.measured is not None}
    point = next((point for variant in record.variants if (point := deciding_point(variant))), None)
    if point is None or judged.isdisjoint(SHARE_LIMITS):
        return ""
    origin = "frozen on the baseline" if point.origin == "frozen" else "because none was fitted"
    graded = f"Decisions were graded at the threshold {point.threshold:.4f}, {origin}; deploy with that one"
    is_refitted = any(variant.statistics and variant.statistics.at("refitted") for variant in record.variants)
    return f"{graded}: no limit was checked at the refitted thresholds." if is_refitted else f"{graded}."


def grade_meanings(verdict: Verdict) -> list[str]:
    """Returns what grades mean that do not say it by themselves, of those that were given."""
    graded = [entry for entry in verdict.variants if not is_reference(entry)]
    meanings = []
    if any(entry.grade == "INCONCLUSIVE" for entry in graded):
        meanings.append(_INCONCLUSIVE)
    if any(grade_text(entry) != entry.grade for entry in graded):
        meanings.append(_SIMULATED)
    return meanings


def is_reference(entry: VariantVerdict) -> bool:
    """Tells whether a variant is only there to compare with."""
    return entry.variant == BASELINE and not entry.is_candidate


def _caveats(passing: Sequence[VariantVerdict]) -> str:
    simulated = sum(bool(entry.simulation) for entry in passing)
    waived = sum(any(finding.waived for finding in entry.findings) for entry in passing)
    counts = ((simulated, "by simulated scores"), (waived, "with a waiver"))
    told = ", ".join(f"{count} {words}" for count, words in counts if count)
    return f" ({told})" if told else ""
