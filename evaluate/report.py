"""Writes the report folder: report.json first, everything else from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluate.int8_comparison import int8_records, sensitivity_of_groups
from evaluate.int8_plot import write_sensitivity_plot
from evaluate.int8_section import sensitivity_plot
from evaluate.latency_comparison import plotted_settings
from evaluate.latency_plot import write_latency_plot
from evaluate.latency_section import LATENCY_PLOT
from evaluate.markdown import HEATMAP_LEGEND, ROC_PLOT, SIZE_PLOT, markdown_from_record
from evaluate.plots import write_heatmap_legend, write_roc_plot, write_size_plot
from evaluate.pruning_comparison import pruned_sources, ratio_curves
from evaluate.pruning_plot import write_curve_plot, write_layer_plot
from evaluate.pruning_section import CURVE_PLOT, layer_plot
from evaluate.record import read_record, write_record
from export.sidecar import write_text

if TYPE_CHECKING:
    from pathlib import Path

    from evaluate.record import ReportRecord


def write_report(folder: Path, record: ReportRecord) -> tuple[Path, ...]:
    """Writes the record, then renders plots and report.md from what was written.

    Returns:
        The files a reader opens first.
    """
    write_record(folder / "report.json", record)
    stored = read_record(folder / "report.json")
    write_size_plot(folder / SIZE_PLOT, stored)
    write_roc_plot(folder / ROC_PLOT, stored)
    if stored.heatmap_limit is not None:
        write_heatmap_legend(folder / HEATMAP_LEGEND, stored.heatmap_limit)
    for source, pruning in pruned_sources(stored):
        write_layer_plot(folder / layer_plot(source), source, pruning)
    if curves := ratio_curves(stored):
        write_curve_plot(folder / CURVE_PLOT, curves)
    for variant, int8 in int8_records(stored):
        if sensitivity := sensitivity_of_groups(int8):
            write_sensitivity_plot(folder / sensitivity_plot(variant.name), variant.name, int8, sensitivity)
    if settings := plotted_settings(stored):
        write_latency_plot(folder / LATENCY_PLOT, settings, stored)
    write_text(folder / "report.md", markdown_from_record(stored))
    return folder / "report.md", folder / SIZE_PLOT, folder / ROC_PLOT
