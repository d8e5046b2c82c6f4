"""The command `signoff-demo`: from no data at all to the complete report."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from export.command import CommandParser, run_command, whole_number

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

_EXAMPLE = """examples:
  signoff-demo --out runs/demo
  signoff-demo --out runs/small --backbone efficientnet_b0 --size 64 --epochs 2 --videos 40
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs `signoff-demo`; returns 0 whatever the verdict, or 2 for what the user can mend."""
    arguments = parsed_arguments(argv)
    return run_command("signoff-demo", lambda: _run(arguments))


def parsed_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parses the command line."""
    parser = CommandParser(
        "signoff-demo",
        "Draws faces and face swaps, trains a detector on them, builds its engines and writes the report.",
        _EXAMPLE,
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="run folder; data and model lie in it")
    parser.add_argument("--backbone", default="tf_efficientnet_b5", metavar="NAME", help="default: %(default)s")
    parser.add_argument("--size", type=int, default=144, metavar="PX", help="network input (default: %(default)s)")
    parser.add_argument(
        "--epochs", type=int, default=2, metavar="N", help="passes over the faces (default: %(default)s)"
    )
    parser.add_argument("--videos", type=int, default=518, metavar="N", help="test videos (default: %(default)s)")
    parser.add_argument(
        "--seed", type=whole_number(0), default=0, help="seed of faces and training (default: %(default)s)"
    )
    return parser.parse_args(argv)


def _run(arguments: argparse.Namespace) -> int:
    # Imported here, so that --help and a mistyped option answer at once.
    from demo.pipeline import DemoRequest, run_demo
    from evaluate.summary import summary_from_record
    from evaluate.verdict.outcome import outcome_text

    request = DemoRequest(
        arguments.out, arguments.backbone, arguments.size, arguments.epochs, arguments.videos, arguments.seed
    )
    done = run_demo(request, announce=partial(print, flush=True))
    print(f"{summary_from_record(done.record)}\n\n{outcome_text(done)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
