"""Times the statistics of very many scores, and weighs their memory, beside scikit-learn's of the same scores.

    python benchmarks/metrics_scale.py
    python benchmarks/metrics_scale.py --samples 200000 --variants 3 --json OUT.json

Ours are all metrics of a variant's scores and DeLong's covariance of all AUCs; the bootstrap of clusters, which is some
thousand AUCs, is left out. scikit-learn's are its counterparts of the metrics: AUC, average precision, ROC curve, log
loss, Brier score and calibration curve. Each side runs in a process of its own, whose peak of memory holds the
interpreter, the libraries and the scores, too.
Exit code: 0 if ours take at most 60 s and 2 GiB, 3 if not, 2 for a mistake in the call.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from export.command import EXIT_LIMIT_MISSED, run_command, whole_number

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST_SECONDS = 60.0
MOST_GIB = 2.0
_MEASURING = "metrics_scale_side.py"


@dataclass(frozen=True)
class Side:
    """What one side took.

    Attributes:
        name: `ours`, or that of its peer.
        seconds: For all variants, without drawing the scores.
        metrics_seconds: Of those, for the metrics, which both sides have.
        peak_gib: Largest resident memory of its process.
        aucs: AUC of each variant, by which both can be seen to have computed the same.
    """

    name: str
    seconds: float
    metrics_seconds: float
    peak_gib: float
    aucs: list[float]


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="metrics_scale", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples", type=whole_number(4), default=1_000_000, metavar="N", help="default: 1000000")
    parser.add_argument("--variants", type=whole_number(1), default=6, metavar="N", help="default: 6")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    arguments = parser.parse_args(argv)
    return run_command("metrics_scale", lambda: _run(arguments))


def _run(arguments: argparse.Namespace) -> int:
    from export.sidecar import write_json
    from export.versions import versions_of

    print(f"{'side':<14} {'seconds':>9} {'of the metrics':>15} {'peak GiB':>9}", flush=True)
    sides = []
    for name in ("ours", "scikit-learn"):
        side = _measured(name, arguments.samples, arguments.variants)
        sides.append(side)
        print(f"{name:<14} {side.seconds:>9.2f} {side.metrics_seconds:>15.2f} {side.peak_gib:>9.2f}", flush=True)
    ours, peer = sides
    ratio = peer.metrics_seconds / ours.metrics_seconds
    apart = max(abs(one - other) for one, other in zip(ours.aucs, peer.aucs, strict=True))
    print(f"scikit-learn takes {ratio:.2f} times as long for the metrics; the AUCs differ by at most {apart:.1e}")
    if arguments.json:
        asked = {"samples": arguments.samples, "variants": arguments.variants}
        machine = {"cores": len(os.sched_getaffinity(0))}
        versions = versions_of("numpy", "scikit-learn", "scipy")
        sides_json = [asdict(side) for side in sides]
        write_json(arguments.json, {**asked, "machine": machine, "versions": versions, "sides": sides_json})
    if ours.seconds <= MOST_SECONDS and ours.peak_gib <= MOST_GIB:
        print(f"within {MOST_SECONDS:.0f} s and {MOST_GIB:.0f} GiB")
        return 0
    print(f"over {MOST_SECONDS:.0f} s or {MOST_GIB:.0f} GiB")
    return EXIT_LIMIT_MISSED


def _measured(name: str, samples: int, variants: int) -> Side:
    script = Path(__file__).with_name(_MEASURING)
    root = str(script.parents[1])
    paths = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    command = [sys.executable, str(script), name, str(samples), str(variants)]
    answer = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": paths}
    ).stdout
    measured = json.loads(answer)
    return Side(name, **measured)


if __name__ == "__main__":
    raise SystemExit(main())
