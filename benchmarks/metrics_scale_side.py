"""One side of `metrics_scale.py`, which starts it as a process of its own."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def drawn_scores(samples: int, variants: int) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Returns labels (N,) and scores (K, N) in (0, 1), the baseline's and of others with noise of their own."""
    rng = np.random.default_rng(0)
    is_fake = np.arange(samples) % 3 != 0
    scores = np.empty((variants, samples))
    scores[:] = rng.normal(2.4 * is_fake - 1, 1)
    for row in scores[1:]:
        row += rng.normal(0, 0.1, samples)
    return is_fake, 1 / (1 + np.exp(-scores))


def ours(is_fake: NDArray[np.bool_], scores: NDArray[np.float64]) -> tuple[list[float], float, float]:
    """Returns the AUCs, the seconds of the metrics, and those with DeLong's covariance."""
    from evaluate.statistics.delong import placements
    from evaluate.statistics.labelled_scores import labelled_scores
    from evaluate.statistics.quality import quality_from_scores

    start = time.perf_counter()
    aucs = [quality_from_scores(is_fake, row).auc for row in scores]
    metrics_seconds = time.perf_counter() - start
    placed = placements(labelled_scores(is_fake, scores))
    covariance = placed.covariance
    seconds = time.perf_counter() - start
    if not np.allclose(placed.aucs, aucs, rtol=0, atol=1e-9) or not (np.diag(covariance) > 0).all():
        raise AssertionError("DeLong's AUCs are not those of the metrics")
    return aucs, metrics_seconds, seconds


def scikit_learns(is_fake: NDArray[np.bool_], scores: NDArray[np.float64]) -> tuple[list[float], float, float]:
    """Returns the AUCs, the seconds of the metrics, and those of all, which are no more."""
    from sklearn.calibration import calibration_curve
    from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score, roc_curve

    start = time.perf_counter()
    aucs = []
    for row in scores:
        aucs.append(float(roc_auc_score(is_fake, row)))
        for metric in (average_precision_score, roc_curve, log_loss, brier_score_loss):
            metric(is_fake, row)
        calibration_curve(is_fake, row, n_bins=10)
    seconds = time.perf_counter() - start
    return aucs, seconds, seconds


def main(side: str, samples: int, variants: int) -> None:
    """Prints what a side took as JSON."""
    is_fake, scores = drawn_scores(samples, variants)
    aucs, metrics_seconds, seconds = (ours if side == "ours" else scikit_learns)(is_fake, scores)
    peak_gib = _peak_kib() / (1 << 20)
    print(json.dumps({"seconds": seconds, "metrics_seconds": metrics_seconds, "peak_gib": peak_gib, "aucs": aucs}))


def _peak_kib() -> int:
    """Returns the peak memory of this program; `ru_maxrss` would count that of the process that started it."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
