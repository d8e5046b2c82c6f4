"""A verdict as lines that a person reads and a script greps, and as an exit code."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluate.verdict.limit_range import is_lower_limit
from export.command import EXIT_INCONCLUSIVE, EXIT_LIMIT_MISSED

if TYPE_CHECKING:
    from evaluate.statistics.noninferiority import Grade
    from evaluate.verdict.verdict import Finding, VariantVerdict, Verdict

_EXIT_CODES: dict[Grade, int] = {"PASS": 0, "FAIL": EXIT_LIMIT_MISSED, "INCONCLUSIVE": EXIT_INCONCLUSIVE}
_DECIMALS = {"max_size_mib": 2, "max_latency_ms": 3}


def verdict_lines(verdict: Verdict) -> list[str]:
    """Returns one line per variant and one for the run, such as `VERDICT q8 FAIL max_auc_drop=0.0121>0.0100`.

    A line names the limits that are not kept, or all of them where all are kept. `?` stands where the figure does not
    decide, `-` where there is none.
    """
    return [*map(_line, verdict.variants), f"VERDICT run {verdict.grade}"]


def finding_lines(verdict: Verdict) -> list[str]:
    """Returns what is behind the lines: the reason of every limit that is not kept, and what to do about it."""
    lines = []
    for entry in verdict.variants:
        for finding in entry.findings:
            if finding.grade != "PASS":
                lines.append(f"{entry.variant} {finding.limit} {finding.grade}: {finding.reason}")
                lines.append(f"  waived: {finding.waived}" if finding.waived else f"  next: {finding.next_step}")
    return lines


def exit_code(verdict: Verdict) -> int:
    """Returns the code to exit with: 0 for PASS, 3 for FAIL, 4 for INCONCLUSIVE."""
    return _EXIT_CODES[verdict.grade]


def grade_text(entry: VariantVerdict) -> str:
    """Returns the grade in words: `PASS (simulated)` where it rests on simulated scores."""
    return f"{entry.grade} (simulated)" if entry.simulation and entry.grade == "PASS" else entry.grade


def finding_text(finding: Finding) -> str:
    """Returns a limit and what was made of it, such as `max_flips=0.0310>0.0200[waived]`."""
    decimals = _DECIMALS.get(finding.limit, 4)
    # Without the sum, a loss of less than the last decimal would print as -0.0000.
    measured = "-" if finding.measured is None else f"{round(finding.measured, decimals) + 0.0:.{decimals}f}"
    kept, missed = (">=", "<") if is_lower_limit(finding.limit) else ("<=", ">")
    sign = {"PASS": kept, "FAIL": missed, "INCONCLUSIVE": "?"}[finding.grade]
    waived = "[waived]" if finding.waived else ""
    allowed = f"{finding.allowed:.{decimals}f}"
    # A limit that was rounded would be another one.
    allowed = allowed if float(allowed) == finding.allowed else f"{finding.allowed:g}"
    return f"{finding.limit}={measured}{sign}{allowed}{waived}"


def _line(entry: VariantVerdict) -> str:
    missed = [finding for finding in entry.findings if finding.grade != "PASS"]
    parts = [f"VERDICT {entry.variant} {grade_text(entry)}", *map(finding_text, missed or entry.findings)]
    if entry.dominated_by:
        parts.append(f"dominated_by={entry.dominated_by}")
    if not entry.is_candidate:
        parts.append("(not a candidate)")
    return " ".join(parts)
