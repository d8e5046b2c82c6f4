"""Compares INT8 by Engine Sign-off with INT8 by its peers: same detector, same calibration images, same test images.

    python benchmarks/int8_peers.py --checkpoint M/checkpoint.safetensors --calibration DIR --test DIR --out DIR

Each method makes one ONNX graph in a process of its own; all graphs are then measured alike. What was made and measured
from equal inputs is not done again, so a killed benchmark goes on, and rows may be added one by one with `--methods`.
Results are OUT/int8_peers.json and, made from it, OUT/int8_peers.md.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from peers.command import parser_of_suite, run_suite
from peers.suites import INT8

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the benchmark; returns 0, or 2 if something the user can mend is wrong."""
    parser = parser_of_suite(INT8, __doc__)
    parser.add_argument(
        "--modelopt-venv", type=Path, metavar="DIR", help="ModelOpt's environment (default: OUT/modelopt-venv)"
    )
    arguments = parser.parse_args(argv)
    return run_suite(INT8, arguments, arguments.modelopt_venv)


if __name__ == "__main__":
    raise SystemExit(main())
