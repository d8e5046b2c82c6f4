"""The benchmarks there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from peers.int8_methods import INT8_METHODS
from peers.int8_table import INT8_COLUMNS, INT8_LEGEND
from peers.pruning_methods import PRUNING_METHODS
from peers.pruning_table import PRUNING_COLUMNS, PRUNING_LEGEND
from peers.suite import Suite

if TYPE_CHECKING:
    from peers.methods import Method

INT8 = Suite(
    name="int8_peers",
    title="INT8 by Engine Sign-off and by its peers",
    methods=INT8_METHODS,
    measurements=("scores", "lint", "tensorrt"),
    packages=("torch", "timm", "onnx", "onnxscript", "onnxruntime", "nncf", "numpy", "scipy", "tensorrt_rtx"),
    columns=INT8_COLUMNS,
    legend=INT8_LEGEND,
)
PRUNING = Suite(
    name="pruning_peers",
    title="Pruning by Engine Sign-off and by its peers",
    methods=PRUNING_METHODS,
    measurements=("scores", "weights", "speed"),
    packages=("torch", "timm", "onnx", "onnxscript", "onnxruntime", "nncf", "torch-pruning", "numpy", "scipy"),
    columns=PRUNING_COLUMNS,
    legend=PRUNING_LEGEND,
)


def method_from_name(name: str) -> Method:
    """Returns the method of that name, whichever benchmark has it: a worker is told nothing else."""
    return next(method for suite in (INT8, PRUNING) for method in suite.methods if method.name == name)
