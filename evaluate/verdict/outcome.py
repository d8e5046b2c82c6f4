"""What a command prints of a verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluate.verdict.domination import domination_sentences
from evaluate.verdict.verdict_lines import exit_code, finding_lines, verdict_lines

if TYPE_CHECKING:
    from evaluate.verdict.regrading import Reported


def outcome_text(done: Reported) -> str:
    """Returns notes, reasons, paths and last the lines that a script greps."""
    verdict = done.verdict
    blocks = [
        [f"note: {note}" for note in done.notes],
        finding_lines(verdict) if verdict else [],
        list(domination_sentences(done.record, verdict)) if verdict else [],
        [str(path) for path in done.paths],
        verdict_lines(verdict) if verdict else ["no verdict: there is nothing but the baseline"],
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block)


def outcome_code(done: Reported) -> int:
    """Returns the exit code: that of the verdict, and 0 where there is none."""
    return exit_code(done.verdict) if done.verdict else 0
