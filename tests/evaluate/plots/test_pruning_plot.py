from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from evaluate.plots.pruning_plot import write_curve_plot, write_layer_plot
from evaluate.pruning_comparison import ratio_curves
from pruning.record import LayerPruning
from tests.evaluate.pruning_reference import b5_pruning, pruning_reference_record

if TYPE_CHECKING:
    from pathlib import Path

    from evaluate.record import ReportRecord
    from pruning.record import PruningRecord

BLUE, SKY, ORANGE, VERMILION = (0, 114, 178), (86, 180, 233), (230, 159, 0), (213, 94, 0)


def drawn(path: Path, pruning: PruningRecord) -> Image.Image:
    write_layer_plot(path, "s50", pruning)
    return opened(path)


def opened(path: Path) -> Image.Image:
    with Image.open(path) as image:
        assert image.format == "PNG"
        converted: Image.Image = image.convert("RGB")
        return converted


def pixels_of(image: Image.Image, colour: tuple[int, int, int]) -> int:
    return int((np.asarray(image) == colour).all(axis=-1).sum())


def test_the_json_has_every_layer(tmp_path: Path) -> None:
    pruning = b5_pruning("structured", 50)
    drawn(tmp_path / "plot.png", pruning)
    plotted = json.loads((tmp_path / "plot.json").read_text(encoding="utf-8"))
    assert (plotted["source"], plotted["kind"], plotted["percent"]) == ("s50", "structured", 50)
    assert len(plotted["layers"]) == 195
    for found, layer in zip(plotted["layers"], pruning.layers, strict=True):
        ratio = found.pop("mask_ratio")
        assert found == asdict(layer)
        assert ratio == pytest.approx((layer.removed + layer.zeros) / layer.weights)


def test_colours_say_which_roles_lost(tmp_path: Path) -> None:
    pruning = b5_pruning("2:4", 50)
    few = [pixels_of(drawn(tmp_path / "n24.png", pruning), colour) for colour in (SKY, ORANGE)]
    many = [pixels_of(drawn(tmp_path / "p50.png", b5_pruning("unstructured", 50)), colour) for colour in (SKY, ORANGE)]
    # Convolutions alone lose to 2:4; what is left of the other colours is the legend.
    assert all(5 * legend < all_bars for legend, all_bars in zip(few, many, strict=True))
    assert pixels_of(opened(tmp_path / "n24.png"), BLUE) > 10_000


def test_bars_are_as_high_as_the_share_that_was_lost(tmp_path: Path) -> None:
    layers = [LayerPruning(f"layer{i}", "convolution", 1000, 0, zeros) for i, zeros in enumerate((200, 400, 800))]
    image = drawn(tmp_path / "plot.png", replace(b5_pruning("unstructured", 50), layers=tuple(layers)))
    # Above the legend: the rows in which many columns of the bars' colour begin, the highest bar's first.
    blue = (np.asarray(image)[: image.height * 3 // 4] == BLUE).all(axis=-1)
    rows, columns = np.unique(blue.argmax(axis=0)[blue.any(axis=0)], return_counts=True)
    high, middle, low = (int(row) for row in rows[columns > 50])
    assert low - middle > 50
    assert (middle - high) / (low - middle) == pytest.approx(2.0, rel=0.02)


@pytest.mark.parametrize(
    "pruning",
    [
        replace(b5_pruning("structured", 50), layers=b5_pruning("structured", 50).layers[1:2]),
        b5_pruning("unstructured", 1),
        replace(
            b5_pruning("structured", 50),
            layers=tuple(replace(x, role="new kind", name="dotless") for x in b5_pruning("structured", 50).layers),
        ),
        replace(b5_pruning("2:4", 50), layers=tuple(LayerPruning(f"l{i}", "head", 10, 0, 0) for i in range(3))),
        replace(b5_pruning("structured", 50), layers=(LayerPruning("all", "head", 10, 6, 4),)),
        replace(b5_pruning("structured", 50), layers=()),
    ],
    ids=["one layer", "hardly anything", "unknown names", "nothing lost", "everything lost", "no layer"],
)
def test_whatever_was_pruned_can_be_plotted(tmp_path: Path, pruning: PruningRecord) -> None:
    assert pixels_of(drawn(tmp_path / "plot.png", pruning), (0, 0, 0)) > 10


def simulated(record: ReportRecord) -> ReportRecord:
    return replace(record, variants=tuple(replace(variant, simulation="it is") for variant in record.variants))


def test_the_curve_has_the_figures_of_its_variants(tmp_path: Path) -> None:
    record = pruning_reference_record(curve=True)
    write_curve_plot(tmp_path / "curve.png", ratio_curves(record))
    (plotted,) = json.loads((tmp_path / "curve.json").read_text(encoding="utf-8"))
    assert plotted["percents"] == [0, 20, 30, 40, 50]
    assert plotted["size_mib"] == pytest.approx([54.6, 43.9, 38.3, 32.8, 27.3], abs=1e-5)
    assert plotted["auc"] == [0.9548, 0.9546, 0.9529, 0.9489, 0.9423]
    assert plotted["lowest_stable_auc"] == pytest.approx(0.9448)
    solid = pixels_of(opened(tmp_path / "curve.png"), VERMILION)
    write_curve_plot(tmp_path / "hollow.png", ratio_curves(simulated(record)))
    assert 500 < pixels_of(opened(tmp_path / "hollow.png"), VERMILION) < solid - 500


def test_curves_of_equal_sizes_or_without_a_dense_variant_can_be_plotted(tmp_path: Path) -> None:
    record = pruning_reference_record(curve=True)
    equal = tuple(replace(variant, size_bytes=1000, auc=0.9) for variant in record.variants)
    sparse = tuple(replace(variant, precision="FP32") for variant in record.variants if variant.pruning)
    write_curve_plot(tmp_path / "equal.png", ratio_curves(replace(record, variants=equal)))
    write_curve_plot(tmp_path / "both.png", ratio_curves(replace(record, variants=(*record.variants, *sparse))))
    write_curve_plot(tmp_path / "none.png", ratio_curves(replace(record, variants=sparse)))
    heights = [opened(tmp_path / f"{name}.png").height for name in ("none", "equal", "both")]
    assert heights[0] == heights[1] < heights[2]


def test_the_plots_are_the_same_bytes_each_time(tmp_path: Path) -> None:
    curves = ratio_curves(pruning_reference_record(curve=True))
    for name in ("a", "b"):
        drawn(tmp_path / f"layers-{name}.png", b5_pruning("structured", 50))
        write_curve_plot(tmp_path / f"curve-{name}.png", curves)
    for plot in ("layers", "curve"):
        assert (tmp_path / f"{plot}-a.png").read_bytes() == (tmp_path / f"{plot}-b.png").read_bytes()
