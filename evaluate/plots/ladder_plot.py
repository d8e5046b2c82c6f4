"""The plot of the stage ladder: AUC from the checkpoint to each engine; the numbers go to a JSON file beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

from matplotlib.figure import Figure

from evaluate.ladder import Stage
from evaluate.number_text import diff_text
from evaluate.plots.panels import panels_of
from evaluate.plots.plots import save_figure
from evaluate.sections.ladder_section import with_ladder
from export.sidecar import write_json

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes

    from evaluate.record import ReportRecord

_COLOUR = "#0072B2"
_LEAST_SPAN = 0.004


def write_ladder_plot(path: Path, record: ReportRecord) -> None:
    """Draws AUC over the stages, a panel per variant, with what each stage changes."""
    models = ladder_plot_data(record)
    figure = Figure(layout="constrained")
    panels = panels_of(figure, len(models))
    stages = [stage for stage in get_args(Stage) if any(stage in model["stages"] for model in models)]
    for axes, model in zip(panels, models, strict=True):
        _draw_ladder(axes, model, stages)
    aucs = [auc for model in models for auc in model["auc"]]
    middle, half = (min(aucs) + max(aucs)) / 2, 0.65 * max(max(aucs) - min(aucs), _LEAST_SPAN)
    panels[0].set_ylim(middle - half, middle + half)
    panels[0].set_xlim(-0.4, len(stages) - 0.4)
    panels[0].ticklabel_format(axis="y", useOffset=False)
    figure.supylabel("AUC of the videos (up is better)", fontsize=10)
    save_figure(figure, path)
    write_json(path.with_suffix(".json"), models)


def ladder_plot_data(record: ReportRecord) -> list[dict[str, Any]]:
    """Returns the numbers of the plot, one object per variant."""
    return [
        {
            "model": variant.name,
            "stages": [step.stage for step in variant.ladder],
            "auc": [step.auc for step in variant.ladder],
        }
        for variant in with_ladder(record)
    ]


def _draw_ladder(axes: Axes, model: dict[str, Any], stages: list[Stage]) -> None:
    places, aucs = [stages.index(stage) for stage in model["stages"]], model["auc"]
    axes.plot(places, aucs, color=_COLOUR, linewidth=1.4, marker="o", markersize=6)
    for place, before, auc in zip(places[1:], aucs, aucs[1:], strict=False):
        # A line that falls comes from above, so that below to the left is free.
        if change := _change_text(auc - before):
            axes.annotate(change, (place, auc), (4, -14), textcoords="offset points", ha="right", fontsize=7)
    axes.set_title(model["model"], fontsize=10)
    axes.set_xticks(range(len(stages)), stages, rotation=40, ha="right", rotation_mode="anchor")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="0.92")
    axes.set_axisbelow(True)


def _change_text(change: float) -> str:
    return diff_text(change) if round(change, 4) else ""
