"""Compares pruning by Engine Sign-off with pruning by its peers: same detector, same calibration and test images.

    pip install 'engine-signoff[cpu,bench]'
    python benchmarks/pruning_peers.py --checkpoint M/checkpoint.safetensors --calibration DIR --test DIR --out DIR
    python benchmarks/pruning_peers.py ... --methods nncf-magnitude-50 torch-pruning-50

Each method makes one pruned FP32 ONNX graph in a process of its own; all graphs are then measured alike: decisions and
logits of the test images, zeros, parameters and multiplications of the graph, and its speed in ONNX Runtime on the CPU
in turns with the dense graph, for which the machine should do nothing else. What was made and measured from equal
inputs is not done again, so a killed benchmark goes on, and rows may be added one by one with `--methods`. OUT may be
the folder of `int8_peers.py` for the same detector and images. Results are OUT/pruning_peers.json and, made from it,
OUT/pruning_peers.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from peers.command import parser_of_suite, run_suite
from peers.suites import PRUNING

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the benchmark; returns 0, or 2 if something the user can mend is wrong."""
    return run_suite(PRUNING, parser_of_suite(PRUNING, __doc__).parse_args(argv))


if __name__ == "__main__":
    raise SystemExit(main())
