"""The plot of the stage ladder: AUC from the checkpoint to each engine; the numbers go to a JSON file beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

from matplotlib.figure import Figure

from evaluate.ladder import Stage
from evaluate.ladder_section import with_ladder
from evaluate.plots import save_figure
from evaluate.variant_style import variant_style
from export.sidecar import write_json

if TYPE_CHECKING:
    from pathlib import Path

    from evaluate.record import ReportRecord

_STAGES: tuple[Stage, ...] = get_args(Stage)
_LEAST_SPAN = 0.002


def write_ladder_plot(path: Path, record: ReportRecord) -> None:
    """Draws AUC over the stages, a line per variant."""
    models = ladder_plot_data(record)
    names = [variant.name for variant in record.variants]
    figure = Figure(figsize=(8.5, 5.0), layout="constrained")
    axes = figure.subplots()
    for rank, model in enumerate(models):
        style = variant_style(names.index(model["model"]))
        # Earlier lines and markers are larger, so that a later one that coincides leaves a rim of them visible.
        excess = (len(models) - 1 - rank) / max(len(models) - 1, 1)
        axes.plot(
            [_STAGES.index(stage) for stage in model["stages"]],
            model["auc"],
            color=style.colour,
            linestyle=style.dashes,
            linewidth=1.2 + 2.0 * excess,
            marker=style.marker,
            markersize=5.0 + 6.0 * excess,
            markeredgecolor="white",
            label=f"{model['model']} ({model['auc'][-1]:.4f})",
        )
    aucs = [auc for model in models for auc in model["auc"]]
    middle, half = (min(aucs) + max(aucs)) / 2, 0.6 * max(max(aucs) - min(aucs), _LEAST_SPAN)
    axes.set_ylim(middle - half, middle + half)
    axes.ticklabel_format(axis="y", useOffset=False)
    axes.set_xticks(range(len(_STAGES)), _STAGES)
    axes.set(xlabel="stage", ylabel="AUC of the videos (up is better)")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="0.92")
    axes.set_axisbelow(True)
    figure.legend(
        loc="outside lower center", ncols=3, frameon=False, handlelength=4, title="Variant (AUC of the engine)"
    )
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
