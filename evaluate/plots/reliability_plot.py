"""The reliability diagram, one panel per variant; the numbers go to a JSON file beside it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure

from evaluate.plots.panels import panels_of
from evaluate.plots.plots import save_figure
from evaluate.record import BASELINE
from evaluate.sections.interval_section import with_statistics
from export.sidecar import write_json

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes

    from evaluate.record import ReportRecord

_COLOUR, _GREY = "#D55E00", "0.55"
_SMALLEST, _LARGEST = 3.0, 11.0


def write_reliability_plot(path: Path, record: ReportRecord) -> None:
    """Draws the share of fakes over the score, bin by bin, with the baseline's in grey."""
    models = reliability_plot_data(record)
    baseline = next((model for model in models if model["model"] == BASELINE), None)
    figure = Figure(layout="constrained")
    for axes, model in zip(panels_of(figure, len(models)), models, strict=True):
        axes.plot([0, 1], [0, 1], color="0.75", linewidth=1, linestyle=(0, (2, 3)), label="a score is a probability")
        if baseline is not None and model is not baseline:
            _draw_bins(axes, baseline, _GREY, "s", "baseline")
        _draw_bins(axes, model, _COLOUR, "o", "model")
        axes.set_title(f"{model['model']}: ECE {model['calibration_error']:.4f}", fontsize=10)
        axes.set(xlim=(-0.04, 1.04), ylim=(-0.04, 1.04), aspect="equal")
        axes.grid(color="0.92")
        axes.set_axisbelow(True)
    figure.supxlabel("mean score of the videos in a bin", fontsize=10)
    figure.supylabel("share of fakes among them", fontsize=10)
    handles, labels = figure.axes[len(models) - 1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=3, frameon=False, fontsize=9)
    save_figure(figure, path)
    write_json(path.with_suffix(".json"), models)


def reliability_plot_data(record: ReportRecord) -> list[dict[str, Any]]:
    """Returns the numbers of the plot, one object per variant; bins without a video are not drawn."""
    return [
        {
            "model": variant.name,
            "calibration_error": stats.quality.calibration_error,
            "bins": [asdict(each) for each in stats.quality.reliability],
        }
        for variant, stats in with_statistics(record)
    ]


def _draw_bins(axes: Axes, model: dict[str, Any], colour: str, marker: str, label: str) -> None:
    bins = [each for each in model["bins"] if each["count"]]
    most = max((each["count"] for each in bins), default=1)
    scores, shares = [each["mean_score"] for each in bins], [each["fake_share"] for each in bins]
    areas = [(_SMALLEST + (_LARGEST - _SMALLEST) * (each["count"] / most) ** 0.5) ** 2 for each in bins]
    axes.plot(scores, shares, color=colour, linewidth=1.2, zorder=2)
    axes.scatter(scores, shares, s=areas, marker=marker, color=colour, alpha=0.8, linewidth=0, zorder=3)
    axes.plot([], [], marker=marker, color=colour, linewidth=1.2, label=label)
