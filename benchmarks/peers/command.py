"""The command line that all benchmarks share: same detector, same calibration images, same test images."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from export.command import run_command, whole_number
from export.sidecar import read_json, write_json, write_text
from peers.benchmark import Benchmark
from peers.job import Job
from peers.making import Workshop
from peers.record import record_of_outcomes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from peers.benchmark import Outcome
    from peers.methods import Method
    from peers.suite import Suite


def parser_of_suite(suite: Suite, description: str | None) -> argparse.ArgumentParser:
    """Returns the parser of a benchmark's command line."""
    parser = argparse.ArgumentParser(
        prog=suite.name, description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = " ".join(method.name for method in suite.methods)
    parser.add_argument("--checkpoint", type=Path, required=True, metavar="FILE", help="with model.toml beside it")
    parser.add_argument("--calibration", type=Path, required=True, metavar="DIR", help="data set of labelled faces")
    parser.add_argument("--test", type=Path, required=True, metavar="DIR", help="other videos of other people")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the results")
    parser.add_argument("--calibration-images", type=whole_number(1), default=256, metavar="N", help="default: 256")
    parser.add_argument("--methods", nargs="+", metavar="NAME", help=f"make and measure these: {names}")
    parser.add_argument(
        "--time-limit", type=whole_number(1), default=60, metavar="MIN", help="minutes per process (default: 60)"
    )
    return parser


def run_suite(suite: Suite, arguments: argparse.Namespace, modelopt_venv: Path | None = None) -> int:
    """Runs a benchmark; returns 0, or 2 if something the user can mend is wrong.

    Args:
        suite: The benchmark.
        arguments: What `parser_of_suite` parsed.
        modelopt_venv: ModelOpt's environment, by default beside the results.
    """
    # Ends the process that makes a graph, too; left alone, it would write into what the next run makes.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    return run_command(suite.name, lambda: _run(suite, arguments, modelopt_venv))


def _run(suite: Suite, arguments: argparse.Namespace, modelopt_venv: Path | None) -> int:
    out = arguments.out.resolve()
    job = Job(
        checkpoint=arguments.checkpoint.resolve(),
        calibration=arguments.calibration.resolve(),
        test=arguments.test.resolve(),
        out=out,
        calibration_images=arguments.calibration_images,
    )
    venv = (modelopt_venv or out / "modelopt-venv").resolve()
    benchmark = Benchmark(job, Workshop(60.0 * arguments.time_limit, venv), suite.measurements)
    outcomes = _outcomes(benchmark, suite, suite.chosen(arguments.methods))
    write_json(out / f"{suite.name}.json", record_of_outcomes(job, benchmark.digests, outcomes, suite.packages))
    markdown = suite.markdown(read_json(out / f"{suite.name}.json"))
    write_text(out / f"{suite.name}.md", markdown)
    print(markdown)
    return 0


def _outcomes(benchmark: Benchmark, suite: Suite, wanted: Sequence[Method]) -> list[Outcome]:
    """Runs what is wanted and adds what earlier runs of the same benchmark made."""
    benchmark.prepare()
    outcomes = []
    for method in suite.methods:
        outcome = benchmark.run(method) if method in wanted else benchmark.known(method)
        if outcome is not None:
            outcomes.append(outcome)
        if outcome is not None and outcome.failure:
            print(f"{method.name}: failed: {outcome.failure}", flush=True)
    return outcomes
