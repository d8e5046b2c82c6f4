"""The columns of the pruning benchmark and what they mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from peers import table
from peers.cache import FAILURE
from peers.table import Column, short

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_MILLION = 1e6


def _library(row: Mapping[str, Any]) -> str:
    """Returns the first of the versions: a method names its own library before what that builds on."""
    versions = row["make"].get("versions", {})
    return next((f"{name} {version}" for name, version in versions.items()), "–")


def _weights(form: Callable[[Mapping[str, Any]], str]) -> Callable[[Mapping[str, Any]], str]:
    def cell(row: Mapping[str, Any]) -> str:
        facts = row["weights"]
        return short(facts[FAILURE]) if FAILURE in facts else form(facts)

    return cell


def _speed(row: Mapping[str, Any]) -> str:
    facts = row["speed"]
    if FAILURE in facts:
        return f"failed: {short(facts[FAILURE])}"
    return ", ".join(f"×{turns['speedup']:.2f} (batch {turns['batch']})" for turns in facts["batches"])


PRUNING_COLUMNS = (
    table.METHOD,
    Column("Library", _library, right=False, always=True),
    Column("Zeros %", _weights(lambda facts: f"{100 * facts['zeros'] / facts['layer_weights']:.1f}")),
    Column("Parameters M", _weights(lambda facts: f"{facts['parameters'] / _MILLION:.2f}")),
    Column("MACs G", _weights(lambda facts: f"{facts['macs'] / (1000 * _MILLION):.3f}")),
    table.MIB,
    table.AUC,
    table.DIFFERENCE,
    table.FALSE_POSITIVES,
    table.FLIPS,
    table.SQNR,
    table.SQNR_WITHIN,
    Column("Speed vs dense (ORT CPU)", _speed, right=False, tells_failure=True),
    table.SECONDS,
    table.CPU_SECONDS,
    table.PEAK_MIB,
)
PRUNING_LEGEND = (
    "SQNR is the variance of the FP32 frame logits over the mean squared change of the logit; `within` takes the "
    "variance within each class. A false positive is a real video called fake.",
    "Zeros are those of the weights of convolutions and linear layers. Parameters and multiplications (MACs, of one "
    "image, zeros included) are counted in the ONNX graph, in which batch normalization is folded; MiB is its file.",
    "Speed is the median time of the dense graph over that of the row, both run in turns in one process by ONNX "
    "Runtime on the CPU, which computes zeros like any other weight; the row of FP32, timed against itself, shows how exact "
    "that is here. Seconds and peak memory are those of the process that made the graph, export included; other work "
    "on the machine adds to its wall time.",
)
