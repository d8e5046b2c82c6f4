"""Compares INT8 by Engine Sign-off with INT8 by its peers: same detector, same calibration images, same test images.

    python benchmarks/int8_peers.py --checkpoint M/checkpoint.safetensors --calibration DIR --test DIR --out DIR

Each method makes one ONNX graph in a process of its own; all graphs are then measured alike. What was made and measured
from equal inputs is not done again, so a killed benchmark goes on, and rows may be added one by one with `--methods`.
Results are OUT/int8_peers.json and, made from it, OUT/int8_peers.md.
"""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from peers.benchmark import Benchmark
from peers.job import Job
from peers.making import Workshop
from peers.methods import METHODS, methods_from_names
from peers.record import record_of_outcomes
from peers.table import markdown_of_record

from export.command import run_command, whole_number
from export.sidecar import read_json, write_json, write_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from peers.benchmark import Outcome
    from peers.methods import Method

NAME = "int8_peers"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the benchmark; returns 0, or 2 if something the user can mend is wrong."""
    arguments = _parsed(argv)
    # Ends the process that makes a graph, too; left alone, it would write into what the next run makes.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    return run_command(NAME, lambda: _run(arguments))


def _parsed(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog=NAME, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", type=Path, required=True, metavar="FILE", help="with model.toml beside it")
    parser.add_argument("--calibration", type=Path, required=True, metavar="DIR", help="faces laid out as Celeb-DF-v2")
    parser.add_argument("--test", type=Path, required=True, metavar="DIR", help="other videos of other people")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the results")
    parser.add_argument("--calibration-images", type=whole_number(1), default=256, metavar="N", help="default: 256")
    parser.add_argument(
        "--methods", nargs="+", metavar="NAME", help="make and measure these: " + " ".join(m.name for m in METHODS)
    )
    parser.add_argument(
        "--time-limit", type=whole_number(1), default=60, metavar="MIN", help="minutes per process (default: 60)"
    )
    parser.add_argument(
        "--modelopt-venv", type=Path, metavar="DIR", help="ModelOpt's environment (default: OUT/modelopt-venv)"
    )
    return parser.parse_args(argv)


def _run(arguments: argparse.Namespace) -> int:
    out = arguments.out.resolve()
    job = Job(
        checkpoint=arguments.checkpoint.resolve(),
        calibration=arguments.calibration.resolve(),
        test=arguments.test.resolve(),
        out=out,
        calibration_images=arguments.calibration_images,
    )
    venv = (arguments.modelopt_venv or out / "modelopt-venv").resolve()
    benchmark = Benchmark(job, Workshop(60.0 * arguments.time_limit, venv))
    outcomes = _outcomes(benchmark, methods_from_names(arguments.methods))
    write_json(out / f"{NAME}.json", record_of_outcomes(job, benchmark.digests, outcomes))
    markdown = markdown_of_record(read_json(out / f"{NAME}.json"))
    write_text(out / f"{NAME}.md", markdown)
    print(markdown)
    return 0


def _outcomes(benchmark: Benchmark, wanted: Sequence[Method]) -> list[Outcome]:
    """Runs what is wanted and adds what earlier runs of the same benchmark made."""
    benchmark.prepare()
    outcomes = []
    for method in METHODS:
        outcome = benchmark.run(method) if method in wanted else benchmark.known(method)
        if outcome is not None:
            outcomes.append(outcome)
        if outcome is not None and outcome.failure:
            print(f"{method.name}: failed: {outcome.failure}", flush=True)
    return outcomes


if __name__ == "__main__":
    raise SystemExit(main())
