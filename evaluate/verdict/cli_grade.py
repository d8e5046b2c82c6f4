"""The command `grade-report`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from export.command import CommandParser, run_command

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

_EXAMPLE = """examples:
  grade-report runs/b5
  grade-report runs/b5 --limits limits.toml
  grade-report runs/b5 --limit max_auc_drop=0.005 --limit q8.max_size_mib=30
  grade-report runs/b5 --waive q8.max_flips='agreed until the next training' --sign 'Ada Lovelace'

exit codes: 0 PASS, 3 FAIL, 4 INCONCLUSIVE, 2 for what you can mend in the command or its files
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs `grade-report`; returns 0 for PASS, 3 for FAIL, 4 for INCONCLUSIVE, 2 for what the user can mend."""
    arguments = parsed_arguments(argv)
    return run_command("grade-report", lambda: _run(arguments))


def parsed_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parses the command line; options that would have no effect end it."""
    parser = CommandParser(
        "grade-report", "Judges a report by limits and writes it with the verdict; runs no engine.", _EXAMPLE
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="run folder that evaluate-engines reported on")
    parser.add_argument(
        "--limits",
        type=Path,
        metavar="FILE",
        help="limits.toml (default: the limits of the verdict before; at first max_auc_drop = 0.01, max_flips = 0.02)",
    )
    parser.add_argument(
        "--limit",
        action="append",
        default=[],
        metavar="[VARIANT.]LIMIT=X",
        help="replace one limit; can be given several times",
    )
    parser.add_argument(
        "--afresh", action="store_true", help="forget limits, waivers and signature of the verdict before"
    )
    decision = parser.add_argument_group("decision")
    decision.add_argument(
        "--waive",
        action="append",
        default=[],
        metavar="VARIANT.LIMIT=REASON",
        help="let a variant miss a limit; can be given several times",
    )
    decision.add_argument("--sign", metavar="NAME", help="sign the verdict, whatever it is")
    decision.add_argument("--note", metavar="TEXT", help="what is to be read with the signature")
    arguments = parser.parse_args(argv)
    if arguments.note and arguments.sign is None:
        parser.error("--note is kept with a signature; pass --sign NAME, too")
    return arguments


def _run(arguments: argparse.Namespace) -> int:
    # Imported here, so that --help and a mistyped option answer at once.
    from evaluate.verdict.decision import require_name, waiver_from_text
    from evaluate.verdict.outcome import outcome_code, outcome_text
    from evaluate.verdict.regrading import GradeRequest, grade_report

    if arguments.sign is not None:
        require_name(arguments.sign)
    done = grade_report(
        GradeRequest(
            run=arguments.run,
            limits=arguments.limits,
            changes=tuple(arguments.limit),
            waivers=dict(map(waiver_from_text, arguments.waive)),
            signed_by=arguments.sign or "",
            note=arguments.note or "",
            afresh=arguments.afresh,
        )
    )
    print(outcome_text(done))
    return outcome_code(done)


if __name__ == "__main__":
    raise SystemExit(main())
