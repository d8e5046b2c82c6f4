from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from evaluate.record import read_record
from evaluate.report import PLOT_LIST, write_report
from tests.evaluate.reference import reference_record
from tests.evaluate.statistics_reference import short_record, verdict_on_statistics

if TYPE_CHECKING:
    from pathlib import Path


STATISTICS_PLOTS = {"auc_differences", "reliability_diagram", "score_scatter", "stage_ladder"}


def plots_in(folder: Path) -> set[str]:
    return {path.stem for path in folder.glob("*.png")}


def test_a_report_is_its_record_and_what_is_rendered_from_it(tmp_path: Path) -> None:
    record = short_record()
    paths = write_report(tmp_path, record, verdict_on_statistics(record))
    assert [path.name for path in paths][:2] == ["report.md", "report.html"]
    assert all(path.is_file() for path in paths)
    assert read_record(tmp_path / "report.json") == record
    assert plots_in(tmp_path) >= STATISTICS_PLOTS
    assert all(json.loads((tmp_path / f"{name}.json").read_text()) for name in plots_in(tmp_path))
    assert not (tmp_path / "verdict.json").exists()
    first = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    write_report(tmp_path, record, verdict_on_statistics(record))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == first


def test_plots_that_no_longer_apply_go_and_files_of_others_stay(tmp_path: Path) -> None:
    write_report(tmp_path, short_record())
    (tmp_path / "notes.png").write_text("mine")
    (tmp_path / "stage_ladder.png").write_text("my own ladder")
    write_report(tmp_path, reference_record())
    assert plots_in(tmp_path) & STATISTICS_PLOTS == {"stage_ladder"}
    assert not (tmp_path / "score_scatter.json").exists()
    assert (tmp_path / "notes.png").read_text() == "mine"
    assert (tmp_path / "stage_ladder.png").read_text() == "my own ladder"
    assert {name for name in json.loads((tmp_path / PLOT_LIST).read_text()) if name.endswith(".png")} == {
        "performance_graph.png",
        "roc_curve_comparison.png",
        "heatmap_scale.png",
    }


@pytest.mark.parametrize("text", ["no JSON", '{"../outside.png": "%s", "gone.png": 3, "a": null}'])
def test_a_damaged_list_removes_nothing(tmp_path: Path, text: str) -> None:
    outside = tmp_path / "outside.png"
    outside.write_bytes(b"x")
    digest = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
    folder = tmp_path / "report"
    folder.mkdir()
    (folder / PLOT_LIST).write_text(text.replace("%s", digest))
    write_report(folder, replace(reference_record(), heatmap_limit=None, variants=reference_record().variants[:1]))
    assert outside.is_file()
    assert plots_in(folder) == {"performance_graph", "roc_curve_comparison"}
