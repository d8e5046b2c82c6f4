"""Writes the report folder: report.json first, everything else from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from evaluate.page.page import write_page
from evaluate.plots.report_plots import report_plots
from evaluate.record import read_record, write_record
from evaluate.sections.markdown import ROC_PLOT, SIZE_PLOT, markdown_from_record
from export.errors import ArtifactError
from export.sidecar import read_json, sha256_of_file, write_json, write_text

if TYPE_CHECKING:
    from pathlib import Path

    from evaluate.record import ReportRecord
    from evaluate.verdict.verdict import Verdict

PLOT_LIST = "plots.list"


def write_report(folder: Path, record: ReportRecord, verdict: Verdict | None = None) -> tuple[Path, ...]:
    """Writes the record, then renders what was written; arguments and result as for `render_report`."""
    write_record(folder / "report.json", record)
    return render_report(folder, read_record(folder / "report.json"), verdict)


def render_report(folder: Path, stored: ReportRecord, verdict: Verdict | None = None) -> tuple[Path, ...]:
    """Renders plots, report.md and report.html; report.json stays as it is.

    Plots of an earlier report that this one has no use for are removed, unless they were changed since.

    Args:
        folder: Where to.
        stored: What was measured, as report.json has it.
        verdict: What limits made of it; its own file is written by who graded.

    Returns:
        The files a reader opens first.
    """
    plots = report_plots(stored, verdict)
    for name, write in plots.items():
        write(folder / name)
    _replace_plot_list(folder, [file for name in plots for file in (name, _data_name(folder, name))])
    write_text(folder / "report.md", markdown_from_record(stored, verdict))
    write_page(folder / "report.html", stored, verdict)
    return folder / "report.md", folder / "report.html", folder / SIZE_PLOT, folder / ROC_PLOT


def _data_name(folder: Path, plot: str) -> str:
    return (folder / plot).with_suffix(".json").name


def _replace_plot_list(folder: Path, written: list[str]) -> None:
    """Lists what was written with its digests, and removes what the list before had besides."""
    for name, digest in _listed(folder / PLOT_LIST).items():
        path = folder / name
        if name not in written and path.name == name and path.is_file() and sha256_of_file(path) == digest:
            path.unlink()
    write_json(folder / PLOT_LIST, {name: sha256_of_file(folder / name) for name in written})


def _listed(path: Path) -> dict[str, str]:
    """Reads the list; one that is missing or damaged names nothing, so that nothing is removed by it."""
    try:
        stored: Any = read_json(path)
    except ArtifactError:
        return {}
    return stored if isinstance(stored, dict) else {}
