from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from evaluate.plots.plots import write_heatmap_legend, write_roc_plot, write_size_plot
from tests.evaluate.reference import ROWS, reference_record

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure


def colours_in(path: Path) -> int:
    with Image.open(path) as image:
        assert image.format == "PNG"
        return len(np.unique(np.asarray(image.convert("RGB")).reshape(-1, 3), axis=0))


def test_size_plot_shows_the_numbers_of_its_json(tmp_path: Path) -> None:
    write_size_plot(tmp_path / "performance_graph.png", reference_record(simulated=True))
    assert colours_in(tmp_path / "performance_graph.png") > 10
    plotted = json.loads((tmp_path / "performance_graph.json").read_text())
    assert plotted["models"] == [row[0] for row in ROWS]
    assert plotted["size_mib"] == pytest.approx([row[3] for row in ROWS], abs=1e-6)
    assert plotted["auc"] == [row[4] for row in ROWS]


def test_roc_plot_shows_the_numbers_of_its_json(tmp_path: Path) -> None:
    record = reference_record()
    write_roc_plot(tmp_path / "roc_curve_comparison.png", record)
    assert colours_in(tmp_path / "roc_curve_comparison.png") > 10
    plotted = json.loads((tmp_path / "roc_curve_comparison.json").read_text())
    assert [curve["model"] for curve in plotted] == [row[0] for row in ROWS]
    assert plotted[0]["at_threshold"] == pytest.approx([15 / 178, 292 / 340])
    assert plotted[4]["false_positive_rates"] == list(record.variants[4].roc.false_positive_rates)
    assert plotted[4]["true_positive_rates"] == list(record.variants[4].roc.true_positive_rates)


def test_roc_plot_enlarges_a_corner_that_holds_something(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Figure] = []
    monkeypatch.setattr("evaluate.plots.plots.save_figure", lambda figure, _: drawn.append(figure))
    record = reference_record()
    variant = record.variants[0]
    for before_corner, insets in ((0.69, 0), (0.71, 1)):
        curve = replace(
            variant.roc, false_positive_rates=(0.0, 0.1, 1.0), true_positive_rates=(0.0, before_corner, 1.0)
        )
        if not insets:  # it passes below the corner, which ends at a false-positive rate of 0.2
            curve = replace(curve, false_positive_rates=(0.0, 0.2, 1.0))
        write_roc_plot(tmp_path / "roc.png", replace(record, variants=(replace(variant, roc=curve),)))
        axes = drawn[-1].axes[0]
        assert len(axes.child_axes) == insets
        assert axes.get_xlim() == (-0.01, 1.01)
        for inset in axes.child_axes:
            assert (inset.get_xlim(), inset.get_ylim()) == ((0.0, 0.2), (0.7, 1.005))


def test_a_single_variant_without_a_baseline_can_be_plotted(tmp_path: Path) -> None:
    record = reference_record()
    record = replace(record, variants=(replace(record.variants[1], comparison=None),))
    write_size_plot(tmp_path / "size.png", record)
    write_roc_plot(tmp_path / "roc.png", record)
    assert colours_in(tmp_path / "size.png") > 5
    assert colours_in(tmp_path / "roc.png") > 5


def test_plots_are_the_same_bytes_each_time(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        write_size_plot(tmp_path / name, reference_record())
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_colour_scale_runs_from_blue_over_grey_to_red(tmp_path: Path) -> None:
    write_heatmap_legend(tmp_path / "scale.png", 4.25)
    with Image.open(tmp_path / "scale.png") as image:
        row = np.asarray(image.convert("RGB")).astype(int)[image.height // 4]
    left, right = row[image.width // 20], row[-image.width // 20]
    assert left[2] > left[0] + 50
    assert right[0] > right[2] + 50
    assert np.ptp(row[image.width // 2]) < 15
