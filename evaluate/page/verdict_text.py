"""What a verdict comes to, in a sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluate.page.limit_text import limit_name
from evaluate.record import BASELINE

if TYPE_CHECKING:
    from evaluate.record import ReportRecord, VariantResult
    from evaluate.verdict.verdict import VariantVerdict, Verdict


def verdict_sentence(verdict: Verdict) -> str:
    """Returns how many candidates have which grade, as in `2 of 5 candidates pass, 1 is undecided, 2 fail.`."""
    grades = [entry.grade for entry in verdict.variants if entry.is_candidate]
    parts = []
    for grade, one, many in (
        ("PASS", "passes", "pass"),
        ("INCONCLUSIVE", "is undecided", "are undecided"),
        ("FAIL", "fails", "fail"),
    ):
        count = grades.count(grade)  # type: ignore[arg-type]  # a literal of the loop
        if count:
            parts.append((count, one if count == 1 else many))
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
    """Returns the limits that decide a variant's grade, as in `AUC drop, Size`; empty for PASS."""
    deciding = [f for f in entry.findings if f.grade == entry.grade and f.grade != "PASS" and not f.waived]
    return ", ".join(limit_name(finding.limit) for finding in deciding)
