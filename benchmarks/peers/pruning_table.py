"""The columns of the pruning benchmark and what they mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from peers import table
from peers.cache import FAILURE
from peers.table import Column, interval, short

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_MILLION = 1e6
_LIBRARIES = {"ours": "engine-signoff", "nncf-pruning": "nncf", "torch-pruning": "torch-pruning"}


def _library(row: Mapping[str, Any]) -> str:
    name = _LIBRARIES.get(row["family"], "")
    version = row["make"].get("versions", {}).get(name)
    return f"{name} {version}" if version else "–"


def _weights(form: Callable[[Mapping[str, Any]], str]) -> Callable[[Mapping[str, Any]], str]:
    def cell(row: Mapping[str, Any]) -> str:
        facts = row["weights"]
        return short(facts[FAILURE]) if FAILURE in facts else form(facts)

    return cell


def _speed(row: Mapping[str, Any]) -> str:
    facts = row["speed"]
    if FAILURE in facts:
        return f"failed: {short(facts[FAILURE])}"
    return ", ".join(
        f"{turns['batch']}: ×{interval(turns['speedup'], turns['quartiles'], '.2f')}" for turns in facts["batches"]
    )


def _parameters(facts: Mapping[str, Any]) -> str:
    return f"{facts['parameters'] / _MILLION:.2f} ({100 * facts['parameters'] / facts['dense_parameters']:.1f} %)"


PRUNING_COLUMNS = (
    table.METHOD,
    Column("Library", _library, right=False, always=True),
    Column("Zeros %", _weights(lambda facts: f"{100 * facts['zeros'] / facts['layer_weights']:.1f}")),
    Column("Parameters M (of dense)", _weights(_parameters)),
    Column("MACs G", _weights(lambda facts: f"{facts['macs'] / (1000 * _MILLION):.3f}")),
    table.MIB,
    table.AUC,
    table.DIFFERENCE,
    table.FALSE_POSITIVES,
    table.FLIPS,
    table.SQNR,
    table.SQNR_WITHIN,
    Column("Speed vs dense (ORT CPU), by batch", _speed, right=False, tells_failure=True),
    table.SECONDS,
    table.CPU_SECONDS,
    table.PEAK_MIB,
)
PRUNING_LEGEND = (
    "SQNR is the variance of the FP32 frame logits over the mean squared change of the logit; `within` takes the "
    "variance within each class. A false positive is a real video called fake.",
    "Zeros are those of the weights of convolutions and linear layers. Parameters and multiplications (MACs, of one "
    "image, zeros included) are counted in the ONNX graph, in which batch normalization is folded; MiB is its file.",
    "Speed is the time of the dense graph over that of the row, for batches of 1 and 8: the median with quartiles of "
    "runs in turns, by ONNX Runtime on one thread of the CPU, which computes zeros like any other weight and takes "
    "longer where channels are no multiple of 8 or 16. FP32 against itself shows how exact that is here. Seconds and "
    "peak memory are those of the process that made the graph, export included; other work on the machine adds to its "
    "wall time.",
)
