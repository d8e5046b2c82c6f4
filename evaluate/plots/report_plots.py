"""Every plot of a report: its file name and what writes it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from evaluate.int8_comparison import int8_records, sensitivity_of_groups
from evaluate.latency_comparison import plotted_settings
from evaluate.plots.difference_plot import write_difference_plot
from evaluate.plots.int8_plot import write_sensitivity_plot
from evaluate.plots.ladder_plot import write_ladder_plot
from evaluate.plots.latency_plot import write_latency_plot
from evaluate.plots.plots import write_heatmap_legend, write_roc_plot, write_size_plot
from evaluate.plots.pruning_plot import write_curve_plot, write_layer_plot
from evaluate.plots.reliability_plot import write_reliability_plot
from evaluate.plots.score_plot import write_score_plot
from evaluate.pruning_comparison import pruned_sources, ratio_curves
from evaluate.sections.drift_section import SCATTER_PLOT, with_drift
from evaluate.sections.int8_section import sensitivity_plot
from evaluate.sections.interval_section import DIFFERENCE_PLOT, has_differences, with_statistics
from evaluate.sections.ladder_section import LADDER_PLOT, with_ladder
from evaluate.sections.latency_section import LATENCY_PLOT
from evaluate.sections.markdown import HEATMAP_LEGEND, ROC_PLOT, SIZE_PLOT
from evaluate.sections.pruning_section import CURVE_PLOT, layer_plot
from evaluate.sections.quality_section import RELIABILITY_PLOT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from evaluate.record import ReportRecord
    from evaluate.verdict.verdict import Verdict


def report_plots(record: ReportRecord, verdict: Verdict | None = None) -> dict[str, Callable[[Path], None]]:
    """Returns the plots that the record has something for: file name -> what writes it, and its JSON, to a path."""
    plots: dict[str, Callable[[Path], None]] = {
        SIZE_PLOT: partial(write_size_plot, record=record),
        ROC_PLOT: partial(write_roc_plot, record=record),
    }
    if record.heatmap_limit is not None:
        plots[HEATMAP_LEGEND] = partial(write_heatmap_legend, limit=record.heatmap_limit)
    plots |= _statistics_plots(record, verdict)
    for source, pruning in pruned_sources(record):
        plots[layer_plot(source)] = partial(write_layer_plot, source=source, pruning=pruning)
    if curves := ratio_curves(record):
        plots[CURVE_PLOT] = partial(write_curve_plot, curves=curves)
    for variant, int8 in int8_records(record):
        if sensitivity := sensitivity_of_groups(int8):
            plots[sensitivity_plot(variant.name)] = partial(
                write_sensitivity_plot, variant=variant.name, int8=int8, sensitivity=sensitivity
            )
    if settings := plotted_settings(record):
        plots[LATENCY_PLOT] = partial(write_latency_plot, settings=settings, record=record)
    return plots


def _statistics_plots(record: ReportRecord, verdict: Verdict | None) -> dict[str, Callable[[Path], None]]:
    plots: dict[str, Callable[[Path], None]] = {}
    if has_differences(record):
        plots[DIFFERENCE_PLOT] = partial(write_difference_plot, record=record, verdict=verdict)
    if with_statistics(record):
        plots[RELIABILITY_PLOT] = partial(write_reliability_plot, record=record)
    if with_drift(record):
        plots[SCATTER_PLOT] = partial(write_score_plot, record=record)
    if with_ladder(record):
        plots[LADDER_PLOT] = partial(write_ladder_plot, record=record)
    return plots
