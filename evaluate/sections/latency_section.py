"""The report's section on latency: how long each engine takes, alone and against the baseline's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engines.latency import UNSTABLE_VARIATION
from evaluate.latency_comparison import latency_settings, latency_warnings, plotted_settings, rows_at
from evaluate.number_text import milliseconds_text, percent_text, rate_text, speed_up_text
from evaluate.record import BYTES_PER_MIB
from evaluate.sections.markdown_table import escaped, image_link, markdown_table

if TYPE_CHECKING:
    from engines.latency import LatencyRecord, Spread
    from evaluate.latency_comparison import LatencyRow, Setting
    from evaluate.record import ReportRecord, VariantResult
    from evaluate.sections.markdown_table import Alignment

LATENCY_PLOT = "latency_against_auc.png"
_RIGHT: tuple[Alignment, ...] = ("right",) * 12


def latency_lines(record: ReportRecord, number: int) -> list[str]:
    """Returns the section's lines; none if nothing was measured."""
    settings = latency_settings(record)
    if not settings:
        return []
    lines = [f"## {number}. Latency"]
    lines += [f"**Warning:** {escaped(sentence)}\n" for sentence in latency_warnings(record)]
    lines += [*_notes(), ""]
    for setting in settings:
        lines += [f"### {escaped(setting.title)}", "", *_setting_lines(setting), ""]
    if plotted_settings(record):
        lines += ["### Latency against AUC", "", *_plot_lines(), ""]
    return lines


def _notes() -> list[str]:
    unstable = f"{100 * UNSTABLE_VARIATION:g}%"
    return [
        "Times are defined as by trtexec. A query is one batch; queries run back to back, and those that start during "
        "the warm-up are not counted. A percentile is one of the measured times. Images/s is the number of images over "
        "the wall time from the first start to the last end. Speed-up is the baseline's median latency over the "
        "model's, at the same batch and measured under the same conditions; N/A: the baseline was not. CoV is the "
        f"coefficient of variation of the compute time; it is bold above {unstable}, where trtexec calls the time "
        "unstable.",
    ]


def _setting_lines(setting: Setting) -> list[str]:
    conditions = "; ".join(f"{escaped(name)}: {escaped(text)}" for name, text in setting.conditions.items())
    rows = [row for batch in setting.batches for row in rows_at(setting, batch)]
    lines = [f"Conditions: {conditions}.", ""] if conditions else []
    lines += [f"{_latency_note(rows)}{_device_note(setting)}", "", *_latency_table(rows), ""]
    if any(_is_split(row) for row in rows):
        lines += ["Where the time goes, medians in ms:", "", *_split_table(rows), ""]
    lines += ["What the first answer costs:", "", *_start_table(setting), ""]
    return [*lines, *_start_notes(setting)]


def _is_split(row: LatencyRow) -> bool:
    return any(part is not None for part in (row.measured.to_device, row.measured.to_host, row.measured.enqueue))


def _latency_note(rows: list[LatencyRow]) -> str:
    if any(row.measured.to_device or row.measured.to_host for row in rows):
        return (
            "Latency is the copy of a query's input to the device + compute + the copy of its output to the host; "
            "trtexec includes these copies up to release 10 and with --includeDataTransfers from 11 on."
        )
    return "Latency is the time of the inference call; no copy was timed."


def _device_note(setting: Setting) -> str:
    if not setting.is_on_cpu:
        return ""
    return (
        " **These are times of a CPU. They say nothing about a GPU**, neither how fast a model is there nor which "
        "of two is faster: the CPU only simulates FP16 and INT8."
    )


def _latency_table(rows: list[LatencyRow]) -> list[str]:
    header = ["Model", "Batch", "Images/s", "Speed-up", "Median (ms)", "Min", "Mean", "p90", "p95", "p99", "Max"]
    header += ["Queries", "CoV"]
    return markdown_table(header, ("left", *_RIGHT), [_latency_row(row) for row in rows])


def _latency_row(row: LatencyRow) -> list[str]:
    measured, latency = row.measured, row.measured.latency
    times = [latency.median, latency.minimum, latency.mean, latency.p90, latency.p95, latency.p99, latency.maximum]
    variation = percent_text(measured.compute.variation)
    return [
        _model(row.variant),
        f"{measured.batch}",
        rate_text(measured.images_per_second),
        speed_up_text(row.speed_up),
        *map(milliseconds_text, times),
        f"{measured.queries:,}",
        f"**{variation}**" if measured.is_unstable else variation,
    ]


def _split_table(rows: list[LatencyRow]) -> list[str]:
    header = ["Model", "Batch", "To device (H2D)", "Compute", "To host (D2H)", "Enqueue"]
    cells = []
    for row in rows:
        parts = (row.measured.to_device, row.measured.compute, row.measured.to_host, row.measured.enqueue)
        cells.append([_model(row.variant), f"{row.measured.batch}", *map(_median_text, parts)])
    return markdown_table(header, ("left", *_RIGHT[:5]), cells)


def _median_text(spread: Spread | None) -> str:
    return milliseconds_text(None if spread is None else spread.median)


def _start_table(setting: Setting) -> list[str]:
    header = ["Model", "Load (ms)", "Prepare (ms)", "First inference (ms)", "Device memory (MiB)"]
    return markdown_table(header, ("left", *_RIGHT[:4]), [_start_row(*entry) for entry in setting.entries])


def _start_row(variant: VariantResult, latency: LatencyRecord) -> list[str]:
    memory = latency.memory_bytes
    return [
        _model(variant),
        milliseconds_text(latency.load_ms),
        milliseconds_text(latency.prepare_ms),
        milliseconds_text(latency.first_inference_ms),
        "-" if memory is None else f"{memory / BYTES_PER_MIB:,.1f}",
    ]


def _start_notes(setting: Setting) -> list[str]:
    latencies = [latency for _, latency in setting.entries]
    note = "Load is reading, checking and deserializing the engine"
    if any(latency.prepare_ms is not None for latency in latencies):
        note += "; prepare is creating its execution context and buffers"
    note += f"; the first inference is at batch {setting.batches[0]}"
    if any(latency.memory_bytes is not None for latency in latencies):
        note += "; device memory is what engine, context and buffers hold"
    return [f"{note}. None of it is in the times above."]


def _plot_lines() -> list[str]:
    return [
        image_link("Latency against AUC", LATENCY_PLOT),
        "",
        "Median latency at one batch size against the AUC of section 1. The line joins the models that no other beats "
        "in both; hollow points have a simulated AUC.",
    ]


def _model(variant: VariantResult) -> str:
    return f"**{escaped(variant.name)}**"
