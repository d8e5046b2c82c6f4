from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from evaluate.plots.difference_plot import difference_range, draw_cut_ends, write_difference_plot
from evaluate.plots.ladder_plot import write_ladder_plot
from evaluate.plots.panels import panels_of
from evaluate.plots.plots import write_heatmap_legend
from evaluate.plots.reliability_plot import write_reliability_plot
from evaluate.plots.score_plot import write_score_plot
from tests.evaluate.statistics_reference import LIMITS, statistics_record, verdict_on_statistics

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from matplotlib.figure import Figure

    from evaluate.record import ReportRecord

WRITERS = [write_difference_plot, write_reliability_plot, write_score_plot, write_ladder_plot]


def drawn(path: Path, write: Callable[..., None], *arguments: Any) -> Any:
    """Writes a plot, checks that something is on it, and returns its numbers."""
    write(path, *arguments)
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert len(np.unique(np.asarray(image.convert("RGB")).reshape(-1, 3), axis=0)) > 10
    return json.loads(path.with_suffix(".json").read_text())


def difference_row(value: float, half: float, margin: float | None) -> dict[str, Any]:
    interval = {"low": value - half, "high": value + half}
    return {"model": "q8", "difference": value, "delong": interval, "bootstrap": interval, "margin": margin}


def only(record: ReportRecord, *names: str) -> ReportRecord:
    return replace(record, variants=tuple(variant for variant in record.variants if variant.name in names))


@pytest.mark.parametrize("models", [1, 2, 3, 4])
@pytest.mark.parametrize("module", ["score_plot", "reliability_plot"])
def test_legends_are_not_cut_off(module: str, models: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figures: list[Figure] = []
    monkeypatch.setattr(f"evaluate.plots.{module}.save_figure", lambda figure, _: figures.append(figure))
    record = statistics_record()
    write = {"score_plot": write_score_plot, "reliability_plot": write_reliability_plot}[module]
    write(tmp_path / "a.png", replace(record, variants=record.variants[: models + 1]))
    (figure,) = figures
    figure.draw_without_rendering()
    for legend in figure.legends:
        box = legend.get_window_extent()
        assert figure.bbox.x0 <= box.x0
        assert box.x1 <= figure.bbox.x1
        assert box.y1 <= figure.bbox.y1


def test_differences_have_both_intervals_and_the_margin(tmp_path: Path) -> None:
    record = statistics_record()
    rows = drawn(tmp_path / "a.png", write_difference_plot, record, verdict_on_statistics())
    assert [row["model"] for row in rows] == [variant.name for variant in record.variants[1:]]
    for row, variant in zip(rows, record.variants[1:], strict=True):
        assert variant.statistics is not None
        difference = variant.statistics.difference
        assert difference is not None
        assert row["difference"] == pytest.approx(variant.auc - record.variants[0].auc)
        assert row["delong"] == {"low": difference.delong.low, "high": difference.delong.high}
        assert row["bootstrap"] == {"low": difference.bootstrap.low, "high": difference.bootstrap.high}
        assert row["margin"] == LIMITS["max_auc_drop"]
    assert [row["grade"] for row in rows] == ["PASS", "INCONCLUSIVE", "PASS", "INCONCLUSIVE", "INCONCLUSIVE"]
    ungraded = drawn(tmp_path / "b.png", write_difference_plot, record)
    assert {(row["margin"], row["grade"]) for row in ungraded} == {(None, None)}


def test_a_waived_loss_is_marked(tmp_path: Path) -> None:
    verdict = verdict_on_statistics()
    q8 = verdict.variants[4]
    waived = replace(q8, findings=(replace(q8.findings[0], waived="agreed"), *q8.findings[1:]))
    variants = (*verdict.variants[:4], waived, *verdict.variants[5:])
    rows = drawn(tmp_path / "a.png", write_difference_plot, statistics_record(), replace(verdict, variants=variants))
    assert [row["model"] for row in rows if row["is_waived"]] == ["q8"]


@pytest.mark.parametrize("margin", [0.01, None])
@pytest.mark.parametrize("sign", [-1, 1])
def test_one_variant_far_off_leaves_the_others_their_room(margin: float | None, sign: int) -> None:
    near = [difference_row(shift, 0.002, margin) for shift in (-0.001, 0.0005, 0.0)]
    low, high = difference_range([*near, difference_row(0.4 * sign, 0.02, margin)])
    assert (low, high) == pytest.approx(difference_range(near))
    assert low < min(row["delong"]["low"] for row in near)
    assert high > max(row["bootstrap"]["high"] for row in near)
    assert margin is None or low < -margin
    assert high - low < 0.02


@pytest.mark.parametrize("values", [[], [0.0], [-0.2], [0.3]])
def test_few_differences_are_all_within_the_range(values: list[float]) -> None:
    low, high = difference_range([difference_row(value, 0.0, None) for value in values])
    assert low < 0 < high
    assert all(low < value < high for value in values)


@pytest.mark.parametrize("value", [-0.1, -0.035])
def test_a_cut_interval_is_drawn_with_its_figure(value: float) -> None:
    """At -0.035 only an end of the interval is beyond the axis."""
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    axes.set_xlim(-0.04, 0.01)
    draw_cut_ends(axes, 0, difference_row(value, 0.02, 0.01))
    assert [text.get_text() for text in axes.texts] == [f"{value if value < -0.04 else value - 0.02:+.4f}"]


def test_reliability_has_the_bins_of_the_videos(tmp_path: Path) -> None:
    record = only(statistics_record(), "baseline", "q8")
    models = drawn(tmp_path / "a.png", write_reliability_plot, record)
    is_fake = np.array([video.is_fake for video in record.videos])
    for model, variant in zip(models, record.variants, strict=True):
        assert variant.statistics is not None
        scores = np.array(variant.statistics.scores)
        assert sum(each["count"] for each in model["bins"]) == len(scores)
        for each in model["bins"]:
            inside = (scores >= each["low"]) & (scores < each["high"] + (each["high"] == 1.0))
            assert each["count"] == inside.sum()
            if each["count"]:
                assert each["fake_share"] == pytest.approx(is_fake[inside].mean())


def test_scores_are_those_of_the_record(tmp_path: Path) -> None:
    record = only(statistics_record(), "baseline", "q8", "q8-p50")
    data = drawn(tmp_path / "a.png", write_score_plot, record)
    assert data["samples"] == [video.sample for video in record.videos]
    baseline, is_fake = np.array(data["baseline"]), np.array(data["is_fake"])
    for model, variant in zip(data["models"], record.variants[1:], strict=True):
        assert variant.statistics is not None
        assert model["scores"] == list(variant.statistics.scores)
        called, before = np.array(model["scores"]) >= model["threshold"], baseline >= model["threshold"]
        assert model["broken"] == int(((called != is_fake) & (before == is_fake)).sum())
        assert model["repaired"] == int(((called == is_fake) & (before != is_fake)).sum())


def test_the_ladder_has_every_stage(tmp_path: Path) -> None:
    record = statistics_record()
    models = drawn(tmp_path / "a.png", write_ladder_plot, record)
    assert [model["model"] for model in models] == ["q16", "q16-p50", "q8"]
    assert models[0]["stages"] == ["checkpoint", "ONNX", "graph", "engine"]
    assert models[1]["stages"] == ["checkpoint", "pruned", "ONNX", "graph", "engine"]
    assert models[2]["auc"][-1] == record.variants[4].auc


@pytest.mark.parametrize("write", WRITERS)
def test_an_engine_that_changed_nothing_can_be_plotted(tmp_path: Path, write: Callable[..., None]) -> None:
    record = only(statistics_record(), "baseline", "q16")
    baseline, q16 = record.variants
    assert baseline.statistics is not None
    assert q16.statistics is not None
    scores = replace(q16.statistics, scores=baseline.statistics.scores, quality=baseline.statistics.quality)
    steps = tuple(replace(step, auc=baseline.auc, auc_cost=0.0) for step in q16.ladder)
    same = replace(q16, auc=baseline.auc, statistics=scores, ladder=steps)
    assert drawn(tmp_path / "a.png", write, replace(record, variants=(baseline, same)))


@pytest.mark.parametrize("count", [1, 2, 4, 5, 9])
def test_there_is_one_visible_panel_per_variant(count: int) -> None:
    from matplotlib.figure import Figure

    figure = Figure()
    panels = panels_of(figure, count)
    assert len(panels) == count
    assert [axes for axes in figure.axes if axes.get_visible()] == panels


def test_the_colour_scale_has_its_numbers(tmp_path: Path) -> None:
    data = drawn(tmp_path / "scale.png", write_heatmap_legend, 4.25)
    assert (data["contributions"][0], data["contributions"][-1]) == (-4.25, 4.25)
    assert len(data["colours"]) == len(data["contributions"])
    assert data["colours"][0][2] > data["colours"][0][0]
    assert data["colours"][-1][0] > data["colours"][-1][2]
