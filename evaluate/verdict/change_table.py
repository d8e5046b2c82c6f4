"""Two sign-offs side by side, as plain text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluate.verdict.changes import cautions_between, changes_between

if TYPE_CHECKING:
    from evaluate.verdict.changes import Change
    from evaluate.verdict.report_folder import StoredReport

_LONGEST = 60


def change_table(one: StoredReport, other: StoredReport) -> str:
    """Returns a table of what changed, a row each, and what to be careful about."""
    cautions = [f"note: {caution}" for caution in cautions_between(one, other)]
    changes = changes_between(one, other)
    before, after = (f"{report.folder} ({report.record.created_utc})" for report in (one, other))
    head = [f"A: {before}", f"B: {after}"]
    body = _rows(changes) if changes else ["nothing changed but the time"]
    blocks = [head, cautions, body]
    return "\n\n".join("\n".join(block) for block in blocks if block)


def _rows(changes: tuple[Change, ...]) -> list[str]:
    cells = [("Of", "What", "A", "B")]
    cells += [(_shown(c.place), _shown(c.name), _shown(c.before), _shown(c.after)) for c in changes]
    widths = [max(len(row[column]) for row in cells) for column in range(4)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]


def _shown(text: str) -> str:
    # File names, notes and versions may hold anything, a terminal's control characters among it.
    line = " ".join("".join(character if character.isprintable() else " " for character in text).split())
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 3]}..."
