from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from evaluate.latency_comparison import plotted_settings
from evaluate.plots.latency_plot import write_latency_plot
from tests.evaluate.latency_reference import GPU_TIMES, gpu_latency, latency_reference_record
from tests.evaluate.reference import reference_record

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes

    from evaluate.record import ReportRecord

VERMILION = (213, 94, 0)


def drawn(path: Path, record: ReportRecord) -> Image.Image:
    write_latency_plot(path, plotted_settings(record), record)
    with Image.open(path) as image:
        assert image.format == "PNG"
        return image.convert("RGB")


def pixels_of(image: Image.Image, colour: tuple[int, int, int]) -> int:
    return int((np.asarray(image) == colour).all(axis=-1).sum())


def test_the_json_has_the_plotted_numbers(tmp_path: Path) -> None:
    record = latency_reference_record()
    drawn(tmp_path / "plot.png", record)
    gpu, cpu = json.loads((tmp_path / "plot.json").read_text(encoding="utf-8"))
    by_name = {variant.name: variant for variant in record.variants}
    assert gpu["models"] == list(GPU_TIMES)
    assert gpu["auc"] == [by_name[name].auc for name in GPU_TIMES]
    assert gpu["median_latency_ms"] == [by_name[name].latency[0].batches[0].latency.median for name in GPU_TIMES]
    assert gpu["images_per_second"] == [by_name[name].latency[0].batches[0].images_per_second for name in GPU_TIMES]
    assert (gpu["device"], gpu["batch"], cpu["device"]) == ("NVIDIA L4", 1, "CPU")
    assert gpu["front"] == ["q8-p50", "q8", "q16", "baseline"]
    assert cpu["front"] == ["baseline"]
    assert gpu["lowest_stable_auc"] == pytest.approx(0.95487 - 0.01)


def test_dots_of_a_simulated_auc_are_hollow(tmp_path: Path) -> None:
    measured = latency_reference_record(cpu=False)
    simulated = replace(measured, variants=tuple(replace(variant, simulation="why") for variant in measured.variants))
    filled = pixels_of(drawn(tmp_path / "a.png", measured), VERMILION)
    hollow = pixels_of(drawn(tmp_path / "b.png", simulated), VERMILION)
    assert 0 < hollow < filled / 2


def test_the_bytes_are_the_same_each_time_and_a_baseline_is_not_needed(tmp_path: Path) -> None:
    record = latency_reference_record()
    record = replace(record, variants=record.variants[1:])
    first, second = drawn(tmp_path / "a.png", record), drawn(tmp_path / "b.png", record)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert first.size == second.size


def axes_of(path: Path, record: ReportRecord, monkeypatch: pytest.MonkeyPatch) -> Axes:
    figures: list[Figure] = []
    monkeypatch.setattr(
        "evaluate.plots.latency_plot.Figure", lambda **kwargs: figures.append(Figure(**kwargs)) or figures[-1]
    )
    drawn(path, record)
    figures[0].set_dpi(150)  # that of the file, which saving put back
    figures[0].draw_without_rendering()
    return figures[0].axes[0]


def test_a_name_is_not_taken_for_that_of_a_dot_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record, latency = reference_record(), gpu_latency("q16")
    batch = latency.batches[0]
    times = {"slow": 0.294, "fast": 0.284, "middle": 0.290}
    variants = tuple(
        replace(
            record.variants[1],
            name=name,
            latency=(replace(latency, batches=(replace(batch, latency=replace(batch.latency, median=time)),)),),
        )
        for name, time in times.items()
    )
    axes = axes_of(tmp_path / "plot.png", replace(record, variants=(record.variants[0], *variants)), monkeypatch)
    boxes = {text.get_text(): text.get_window_extent() for text in axes.texts}
    assert sorted(boxes, key=lambda name: boxes[name].x0) == ["fast", "middle", "slow"]
    ends = [axes.transData.transform(line.get_xydata()) for line in axes.lines]
    for name, time in times.items():
        dot = axes.transData.transform((time, record.variants[1].auc))
        box = boxes[name].padded(3)  # of the 10 pixels or more between dot and name
        assert any(np.allclose(end[0], dot) and box.contains(*end[-1]) for end in ends if len(end) == 2)


def test_names_do_not_cover_one_another_even_where_dots_nearly_coincide(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = reference_record()
    twins = tuple(
        replace(record.variants[1], name=f"q16-{index}", auc=0.95 - 1e-5 * index, latency=(gpu_latency("q16"),))
        for index in range(4)
    )
    axes = axes_of(tmp_path / "plot.png", replace(record, variants=(record.variants[0], *twins)), monkeypatch)
    boxes = [text.get_window_extent() for text in axes.texts]
    assert sorted(text.get_text() for text in axes.texts) == [variant.name for variant in twins]
    assert all(boxes[a].count_overlaps([boxes[b]]) == 0 for a in range(4) for b in range(a))
    frame = axes.get_window_extent()
    assert all(frame.x0 <= box.x0 and box.x1 <= frame.x1 for box in boxes)
