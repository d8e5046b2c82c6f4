"""DeLong's figures by R's package pROC, where it is installed (Robin et al., BMC Bioinformatics 2011)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tests.evaluate.statistics.r_script import r_answer

if TYPE_CHECKING:
    from numpy.typing import NDArray

_CURVES = """
a <- roc(label, first, levels=c(0, 1), direction="<")
b <- roc(label, second, levels=c(0, 1), direction="<")
test <- roc.test(a, b, method="delong", paired=TRUE)
number <- function(values) paste(sprintf("%.17g", values), collapse=", ")
cat(sprintf('{"aucs": [%s], "variances": [%s], "covariance": %s, "interval": [%s], "difference": [%s], "p_value": %s}',
    number(c(auc(a), auc(b))), number(c(var(a), var(b))), number(cov(a, b)), number(ci.auc(a)[c(1, 3)]),
    number(test$conf.int), number(test$p.value)))
"""


@dataclass(frozen=True)
class ProcCurves:
    """Two curves of the same videos; the intervals hold 95 % and are symmetric."""

    aucs: list[float]
    variances: list[float]
    covariance: float
    interval: list[float]
    difference: list[float]
    p_value: float


def curves(is_fake: NDArray[np.bool_], first: NDArray[np.float64], second: NDArray[np.float64]) -> ProcCurves:
    data = "\n".join(
        f"{name} <- c({', '.join(f'{value:.17g}' for value in values)})"
        for name, values in (("label", is_fake.astype(float)), ("first", first), ("second", second))
    )
    return ProcCurves(**json.loads(r_answer("pROC", data + _CURVES)))


def subarachnoid() -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """The data set that pROC carries: poor outcome, and the markers S100b, NDKA and WFNS."""
    lines = r_answer(
        "pROC",
        "data(aSAH)\nwrite.table(cbind(aSAH$outcome == 'Poor', aSAH$s100b, aSAH$ndka, as.numeric(aSAH$wfns)),"
        "sep=',', row.names=FALSE, col.names=FALSE)",
    )
    table = np.array([[float(field) for field in line.split(",")] for line in lines.splitlines()])
    return table[:, 0] == 1, table[:, 1:].T
