"""The command `evaluate-engines`."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from export import __version__
from export.command import run_command, whole_number

if TYPE_CHECKING:
    from collections.abc import Sequence

_EXAMPLE = """examples:
  evaluate-engines runs/b5 --test data/test
  evaluate-engines runs/b5 --test data/test --skip-unreadable --batch-size 32
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs `evaluate-engines`; returns 0, or 2 if something the user can mend is wrong."""
    arguments = parsed_arguments(argv)
    return run_command("evaluate-engines", lambda: _run(arguments))


def parsed_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(
        prog="evaluate-engines",
        description="Scores every engine of a run on a labelled test set and writes the report.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"engine-signoff {__version__}")
    parser.add_argument("run", type=Path, metavar="RUN", help="folder that build-engines filled")
    parser.add_argument("--test", type=Path, required=True, metavar="DIR", help="faces laid out as Celeb-DF-v2")
    parser.add_argument("--backend", default="onnxruntime", metavar="NAME", help="default: onnxruntime")
    parser.add_argument(
        "--batch-size", type=whole_number(1), default=16, metavar="N", help="images per inference (default: 16)"
    )
    parser.add_argument("--skip-unreadable", action="store_true", help="go on without images that do not decode")
    return parser.parse_args(argv)


def _run(arguments: argparse.Namespace) -> int:
    # Imported here, so that --help and a mistyped option answer at once.
    from evaluate.pipeline import evaluate_engines
    from evaluate.request import EvaluationRequest
    from evaluate.summary import summary_from_record

    request = EvaluationRequest(
        arguments.run, arguments.test, arguments.backend, arguments.batch_size, arguments.skip_unreadable
    )
    record, paths = evaluate_engines(request, announce=partial(print, flush=True))
    print(summary_from_record(record, paths))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
