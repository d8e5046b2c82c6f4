"""Compares the images per second of an evaluation with those of the bare engine in loops, side by side in turns.

    python benchmarks/throughput.py runs/b5 --test data/test
    python benchmarks/throughput.py runs/b5 --test data/test --variants baseline q8 --batch-sizes 1 16 --json OUT.json
    python benchmarks/throughput.py runs/b5 --test data/test --backend tensorrt

The evaluation is what `evaluate-engines` does: decode, resize, normalize and run, all of it at a time. A bare loop
runs the same engine on one batch that is in memory already. ONNX Runtime on the CPU has two: sessions called without
any code of the toolkit, once one inference at a time on all processors, as ONNX Runtime does by default, and once as
many at a time as there are processors; anything else has the runner's own queries, which are trtexec's. All run the
same number of batches per turn and who begins alternates; the ratio is the median of the turns, to the faster bare
loop. The machine should do nothing else meanwhile.
Exit code: 0 if every ratio is at least 0.9, 3 if one is not, 2 for a mistake in the call.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from throughput_turns import SMALLEST_RATIO, ThroughputRow, row_of_turns

from export.command import EXIT_LIMIT_MISSED, run_command, whole_number
from export.concurrency import inferences_at_a_time, processors_at_hand

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from throughput_loops import Work

    from engines.backend import Backend

_HEADING = "{:<12} {:>5} {:>18} {:>6}  {:<14}  {}".format(
    "variant", "batch", "evaluated images/s", "ratio", "quartiles", "bare images/s"
)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="throughput", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="folder that build-engines filled")
    parser.add_argument("--test", type=Path, required=True, metavar="DIR", help="data set of labelled faces")
    parser.add_argument("--backend", default="onnxruntime", metavar="NAME", help="default: onnxruntime")
    parser.add_argument("--variants", nargs="+", metavar="NAME", help="default: all that were built for the backend")
    parser.add_argument(
        "--batch-sizes", nargs="+", type=whole_number(1), default=[1, 16], metavar="N", help="default: 1 16"
    )
    parser.add_argument(
        "--images", type=whole_number(1), default=256, metavar="N", help="images per turn (default: 256)"
    )
    parser.add_argument("--turns", type=whole_number(2), default=7, metavar="N", help="default: 7")
    parser.add_argument("--gpu", type=whole_number(0), default=0, metavar="N", help="index of the GPU (default: 0)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    arguments = parser.parse_args(argv)
    return run_command("throughput", lambda: _run(arguments))


def _run(arguments: argparse.Namespace) -> int:
    from engines.backend import backend_from_name
    from export.sidecar import write_json
    from export.versions import versions_of

    backend = backend_from_name(arguments.backend)
    versions = {**backend.versions(), **versions_of("numpy", "pillow")}
    rows = []
    print(_HEADING, flush=True)
    for row in _rows(arguments, backend):
        rows.append(row)
        print(_line(row), flush=True)
    if arguments.json:
        machine = {"cores": processors_at_hand(), "device": backend.device(arguments.gpu)}
        asked = {"images": arguments.images, "turns": arguments.turns, "backend": backend.name}
        record = {**asked, "machine": machine, "versions": versions, "rows": [asdict(row) for row in rows]}
        write_json(arguments.json, record)
    slow = [f"{row.variant} at batch {row.batch} ({row.ratio:.2f})" for row in rows if row.ratio < SMALLEST_RATIO]
    if not slow:
        print(f"every evaluation reaches at least {SMALLEST_RATIO:.0%} of the bare loop")
        return 0
    print(f"below {SMALLEST_RATIO:.0%} of the bare loop: {', '.join(slow)}")
    return EXIT_LIMIT_MISSED


def _rows(arguments: argparse.Namespace, backend: Backend) -> Iterator[ThroughputRow]:
    for name, work in _works(arguments, backend):
        yield _row(name, work, backend, arguments.turns, arguments.gpu)


def _works(arguments: argparse.Namespace, backend: Backend) -> Iterator[tuple[str, Work]]:
    from throughput_loops import Work

    from calibration.datasets.dataset import samples_from_path
    from engines.run_folder import RunFolder
    from engines.spec import read_spec
    from export.errors import VariantError
    from export.sidecar import read_artifact

    run = RunFolder(arguments.run)
    spec = read_spec(run)
    samples = samples_from_path(arguments.test, "test").samples
    built = [variant.name for variant in spec.variants_for(backend.name)]
    unknown = [name for name in arguments.variants or () if name not in built]
    if unknown:
        raise VariantError(f"{backend.name} has no engine of {unknown[0]}; expected some of {', '.join(built)}")
    for name in arguments.variants or built:
        engine = read_artifact(run.engine(name, backend.name, backend.suffix))
        for batch in arguments.batch_sizes:
            # Only whole batches, so that both loops do the same work; a set that is too small is read again.
            count = max(1, arguments.images // batch) * batch
            chosen = [samples[index % len(samples)] for index in range(count)]
            yield name, Work(engine, chosen, spec.contract.input, batch)


def _row(name: str, work: Work, backend: Backend, turns: int, gpu: int) -> ThroughputRow:
    from throughput_loops import bare_loops, evaluation

    from engines.engine_runner import RunOptions

    inferences = inferences_at_a_time(work.batch, work.contract.size, processors_at_hand())
    with backend.runner(work.engine, RunOptions(work.batch, gpu=gpu, inferences=inferences)) as runner:
        bare = bare_loops(backend.name, work, runner)
        return row_of_turns(name, work.batch, len(work.samples), bare, evaluation(work, runner), turns)


def _line(row: ThroughputRow) -> str:
    low, high = row.quartiles
    figures = f"{row.batch:>5} {row.evaluated:>18.1f} {row.ratio:>6.3f}  [{low:.3f}, {high:.3f}]"
    return f"{row.variant:<12} {figures}  {', '.join(f'{value:.1f} {name}' for name, value in row.bare.items())}"


if __name__ == "__main__":
    raise SystemExit(main())
