"""The columns of the INT8 benchmark and what they mean."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from peers import table
from peers.cache import FAILURE
from peers.table import Column, short

if TYPE_CHECKING:
    from collections.abc import Mapping


def _tensorrt(row: Mapping[str, Any]) -> str:
    facts = row["tensorrt"]
    if FAILURE in facts:
        return f"no: {short(facts[FAILURE])}"
    if facts["verdict"] == "yes":
        return f"yes, {facts['plan_mib']:.1f} MiB plan"
    return f"{facts['verdict']}: {short(_words_of_tensorrt(facts['reason']))}"


def _words_of_tensorrt(reason: str) -> str:
    """Returns what TensorRT objects to, without the file and the node that it names first."""
    assertion = re.search(r"Error \([^:]*: (.+)", reason)
    if assertion:
        return assertion[1]
    return reason.partition(".onnx ")[2].partition(":")[0] or reason


def _lint(row: Mapping[str, Any]) -> str:
    facts = row["lint"]
    if FAILURE in facts:
        return f"failed: {short(facts[FAILURE])}"
    rules = ", ".join(f"{count} {rule}" for rule, count in facts["rules"].items())
    return rules or "0"


INT8_COLUMNS = (
    table.METHOD,
    table.MIB,
    table.AUC,
    table.DIFFERENCE,
    table.ACCURACY,
    table.FLIPS,
    table.SQNR,
    table.SQNR_WITHIN,
    Column("TensorRT for RTX", _tensorrt, right=False, tells_failure=True),
    Column("Lint", _lint, right=False),
    table.SECONDS,
    table.CPU_SECONDS,
    table.PEAK_MIB,
)
INT8_LEGEND = (
    "SQNR is the variance of the FP32 frame logits over the mean squared change of the logit; `within` takes the "
    "variance within each class. Every graph was scored by ONNX Runtime on the CPU, which computes float kernels "
    "around the Q/DQ pairs. Seconds and peak memory are those of the process that made the graph; other "
    "work on the machine adds to its wall time.",
    "MiB is the ONNX file; where weights stay in float before their Q/DQ pairs, compare the plan's. Lint "
    "counts, rule by rule, what TensorRT would refuse or misread.",
)
