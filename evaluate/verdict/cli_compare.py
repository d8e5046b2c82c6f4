"""The command `compare-reports`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from export.command import CommandParser, run_command

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

_EXAMPLE = """example:
  compare-reports runs/b5-march runs/b5-april
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs `compare-reports`; returns 0 whatever changed, or 2 if something the user can mend is wrong."""
    parser = CommandParser(
        "compare-reports",
        "Shows what changed between two sign-offs: verdicts, limits, figures, digests and versions.",
        _EXAMPLE,
    )
    parser.add_argument("one", type=Path, metavar="A", help="run folder or report folder")
    parser.add_argument("other", type=Path, metavar="B", help="what to compare it with")
    arguments = parser.parse_args(argv)
    return run_command("compare-reports", lambda: _run(arguments))


def _run(arguments: argparse.Namespace) -> int:
    # Imported here, so that --help and a mistyped option answer at once.
    from evaluate.verdict.change_table import change_table
    from evaluate.verdict.report_folder import stored_report

    print(change_table(stored_report(arguments.one), stored_report(arguments.other)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
