"""The plot of each variant's scores over the baseline's; the numbers go to a JSON file beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure

from evaluate.plots.panels import panels_of
from evaluate.plots.plots import save_figure
from evaluate.record import BASELINE
from evaluate.sections.drift_section import with_drift
from evaluate.sections.interval_section import with_statistics
from export.sidecar import write_json

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from evaluate.record import ReportRecord

# label, marker, colour, size; hollow where a decision did not turn.
_KINDS = {
    "real": ("real, decided alike", "o", "#56B4E9", 14),
    "fake": ("fake, decided alike", "^", "#E69F00", 14),
    "repaired": ("repaired", "P", "#009E73", 60),
    "broken": ("broken", "X", "#D55E00", 60),
}


def write_score_plot(path: Path, record: ReportRecord) -> None:
    """Draws every video, the flipped ones large, with the threshold on both axes."""
    data = score_plot_data(record)
    is_fake, baseline = np.array(data["is_fake"], bool), np.array(data["baseline"])
    figure = Figure(layout="constrained")
    for axes, model in zip(panels_of(figure, len(data["models"])), data["models"], strict=True):
        _draw_scores(axes, is_fake, baseline, np.array(model["scores"]), model["threshold"])
        axes.set_title(f"{model['model']}: {model['repaired']} repaired, {model['broken']} broken", fontsize=10)
        axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), aspect="equal")
    figure.supxlabel("score by the baseline", fontsize=10)
    figure.supylabel("score by the model", fontsize=10)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    # Five beside each other are wider than two panels, and what does not fit would be cut off.
    columns = 5 if len(data["models"]) > 2 else 3
    figure.legend(handles, labels, loc="outside upper left", ncols=columns, frameon=False, fontsize=9)
    save_figure(figure, path)
    write_json(path.with_suffix(".json"), data)


def score_plot_data(record: ReportRecord) -> dict[str, Any]:
    """Returns the numbers of the plot: videos, the baseline's scores, and those of every variant compared with it."""
    statistics = {variant.name: stats for variant, stats in with_statistics(record)}
    return {
        "samples": [video.sample for video in record.videos],
        "is_fake": [video.is_fake for video in record.videos],
        "baseline": list(statistics[BASELINE].scores),
        "models": [
            {
                "model": variant.name,
                "scores": list(statistics[variant.name].scores),
                "threshold": drift.threshold,
                "repaired": drift.flips.repaired,
                "broken": drift.flips.broken,
            }
            for variant, drift in with_drift(record)
        ],
    }


def _draw_scores(
    axes: Axes, is_fake: NDArray[np.bool_], baseline: NDArray[np.float64], scores: NDArray[np.float64], threshold: float
) -> None:
    flipped = (scores >= threshold) != (baseline >= threshold)
    is_right = (scores >= threshold) == is_fake
    members = {
        "real": ~flipped & ~is_fake,
        "fake": ~flipped & is_fake,
        "repaired": flipped & is_right,
        "broken": flipped & ~is_right,
    }
    axes.plot([0, 1], [0, 1], color="0.6", linewidth=1, linestyle=(0, (2, 3)), zorder=1, label="no change")
    axes.axvline(threshold, color="0.8", linewidth=1, zorder=0)
    axes.axhline(threshold, color="0.8", linewidth=1, zorder=0)
    for kind, (label, marker, colour, size) in _KINDS.items():
        chosen = members[kind]
        is_flip = kind in ("repaired", "broken")
        axes.scatter(
            baseline[chosen],
            scores[chosen],
            s=size,
            marker=marker,
            facecolor=colour if is_flip else "none",
            edgecolor="black" if is_flip else colour,
            linewidth=0.7 if is_flip else 0.9,
            zorder=3 if is_flip else 2,
            label=label,
        )
