from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

import pytest

from evaluate.comparison import compared_variants
from evaluate.number_text import decibel_text, diff_text, percent_text, reduction_text
from evaluate.record import ReportRecord, ReportSample
from evaluate.sections.markdown import markdown_from_record
from evaluate.sections.markdown_table import escaped
from evaluate.sections.visual_analysis import shortened_name
from evaluate.selection import Outcome
from tests.evaluate.reference import reference_record

GOLDEN = Path(__file__).parents[2] / "golden" / "report.md"
REGENERATE = "REGENERATE_GOLDEN"

REFERENCE_LINES = """\
# Deepfake Analysis Report (Backbone: b5)
---
## 1. Performance Summary
| Model | Size (MB) | Reduction | AUC | Diff |
| :--- | :--- | :--- | :--- | :--- |
| **q16** | 54.60 | -49.8% | 0.9548 (Stable) | -0.0001 |
| **q16-p50** | 54.60 | -49.8% | 0.9334 (Degraded) | -0.0215 |
| **q8** | 27.80 | -74.4% | 0.7588 (Degraded) | -0.1960 |
| **q8-p50** | 27.80 | -74.4% | 0.7119 (Degraded) | -0.2429 |
## 2. Key Insights
- Highest AUC: **baseline** at 0.9549.
- Best compression within 1% AUC of baseline: **q16** (54.6 MB, 49.8% smaller).
- Largest AUC drop: **q8-p50** (-0.2429).
## 3. Classification Quality
| Model | Samples | TP | TN | FP | FN | Precision | Recall | F1 | Accuracy |
| :--- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
| **baseline** | 518 | 292 | 163 | 15 | 48 | 0.951 | 0.859 | 0.903 | 0.878 |
| **q16** | 518 | 291 | 163 | 15 | 49 | 0.951 | 0.856 | 0.901 | 0.876 |
| **q16-p50** | 518 | 339 | 50 | 128 | 1 | 0.726 | 0.997 | 0.840 | 0.751 |
| **q32-p50** | 518 | 339 | 49 | 129 | 1 | 0.724 | 0.997 | 0.839 | 0.749 |
| **q8** | 518 | 339 | 2 | 176 | 1 | 0.658 | 0.997 | 0.793 | 0.658 |
| **q8-p50** | 518 | 340 | 0 | 178 | 0 | 0.656 | 1.000 | 0.793 | 0.656 |
## 4. Visualizations
| Size vs AUC | ROC Curve |
| :---: | :---: |
| ![Bar](performance_graph.png) | ![ROC](roc_curve_comparison.png) |
## 5. Visual Analysis
### Resolved Fakes (True Positives)
| Model | Rank 1 | Rank 2 | Rank 3 | Rank 4 | Rank 5 |
| :--- | :---: | :---: | :---: | :---: | :---: |
### Missed Fakes (False Negatives)
### False Positives (Real labeled Fake)
### Confirmed Reals (True Negatives)
| **q8-p50** | N/A | N/A | N/A | N/A | N/A |
""".splitlines()

# Cells of section 5 as the reference report has them, names of every length among them.
REFERENCE_CELLS = """\
![img](../results/baseline/result/true_positives/heatmap/id37_id3_0004.mp4.jpg)<br>`0.9999`<br>_id37_id3_0.._ |
![img](../results/baseline/result/true_positives/heatmap/id1_id2_0007.mp4.jpg)<br>`0.9999`<br>_id1_id2_00.._ |
![img](../results/baseline/result/false_negatives/heatmap/id9_id3_0009.mp4.jpg)<br>`0.1294`<br>_id9_id3_00.._ |
| **Baseline** | ![img](../results/baseline/result/false_positives/heatmap/00047.mp4.jpg)<br>`0.9808`<br>_00047.mp4_ |
![img](../results/baseline/result/false_positives/heatmap/id51_0001.mp4.jpg)<br>`0.8435`<br>_id51_0001..._ |
![img](../results/baseline/result/true_negatives/heatmap/id4_0004.mp4.jpg)<br>`0.0027`<br>_id4_0004.mp4_ |
""".splitlines()


@pytest.fixture(scope="module")
def rendered() -> str:
    return markdown_from_record(reference_record())


def test_every_line_of_the_reference_report_is_there_in_its_order(rendered: str) -> None:
    lines = iter(rendered.splitlines())
    missing = [wanted for wanted in REFERENCE_LINES if wanted not in lines]
    assert missing == []


@pytest.mark.parametrize("cell", REFERENCE_CELLS)
def test_cells_of_the_visual_analysis_are_those_of_the_reference_report(rendered: str, cell: str) -> None:
    assert cell in rendered


def test_the_sign_mistakes_of_the_reference_report_are_not_repeated(rendered: str) -> None:
    assert "| **baseline** | 108.79 | 0.0% | 0.9549 (Baseline) | +0.0000 |" in rendered
    assert "| **q32-p50** | 108.99 | +0.2% | 0.9332 (Degraded) | -0.0216 |" in rendered


def test_the_report_equals_the_reviewed_one() -> None:
    text = markdown_from_record(reference_record(simulated=True))
    if os.environ.get(REGENERATE):
        GOLDEN.parent.mkdir(exist_ok=True)
        GOLDEN.write_text(text, encoding="utf-8")
    assert text == GOLDEN.read_text(encoding="utf-8"), f"review the change, then run with {REGENERATE}=1"


def test_rows_of_a_simulation_carry_a_mark_that_is_explained() -> None:
    text = markdown_from_record(reference_record(simulated=True))
    assert text.count("| **q8** ‡ |") == 2
    assert "‡ Simulated: INT8 is simulated by ONNX Runtime on the CPU" in text
    assert text.count("| **baseline** |") == 3
    assert "Simulated" not in markdown_from_record(reference_record())


def test_every_image_link_resolves(tmp_path: Path) -> None:
    record = reference_record()
    odd = ReportSample("odd (1) |x|.mp4", 0.9, "../results/q8/result/true_positives/heatmap/odd (1) |x|.mp4.jpg")
    samples = {**record.variants[4].samples, Outcome.TRUE_POSITIVE: (odd,)}
    record = replace(record, variants=(*record.variants[:4], replace(record.variants[4], samples=samples)))
    report = tmp_path / "report"
    files = {"performance_graph.png", "roc_curve_comparison.png", "heatmap_scale.png"}
    files |= {s.heatmap for v in record.variants for group in v.samples.values() for s in group if s.heatmap}
    for name in files:
        (report / name).parent.mkdir(parents=True, exist_ok=True)
        (report / name).touch()
    links = re.findall(r"!\[[^\]]*\]\(([^)\s]+)\)", markdown_from_record(record))
    assert {unquote(link) for link in links} == files
    assert all((report / unquote(link)).is_file() for link in links)


def test_every_table_has_as_many_cells_in_each_row_as_in_its_header() -> None:
    record = reference_record(simulated=True)
    hostile = replace(record.variants[1], name="q|<b>`x", file="a|b\nc", backend="`|`")
    text = markdown_from_record(replace(record, variants=(record.variants[0], hostile), backbone="b5 | <i>"))
    tables = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    assert len(tables) == 8
    assert all(len({line.count("|") for line in table.splitlines()}) == 1 for table in tables)
    assert "<b>" not in text
    assert "<i>" not in text


def without_baseline(record: ReportRecord) -> ReportRecord:
    return replace(record, variants=compared_variants(record.variants[1:3]))


def test_without_a_baseline_the_comparison_is_not_available() -> None:
    text = markdown_from_record(without_baseline(reference_record()))
    assert "| **q16** | 54.60 | N/A | 0.9548 | N/A |" in text
    assert "- Highest AUC: **q16** at 0.9548." in text
    assert "The baseline was not evaluated" in text
    assert "Largest AUC drop" not in text


def test_a_baseline_alone_names_no_compression_and_no_drop() -> None:
    record = reference_record()
    text = markdown_from_record(replace(record, variants=record.variants[:1]))
    assert "- Best compression within 1% AUC of baseline: none." in text
    assert "- Largest AUC drop: none." in text


def test_a_report_without_heatmaps_shows_scores_and_no_scale() -> None:
    record = reference_record()
    bare = replace(record.variants[0], samples={Outcome.TRUE_POSITIVE: (ReportSample("a.mp4", 0.75),)})
    text = markdown_from_record(replace(record, variants=(bare,), heatmap_limit=None, calibration=None))
    assert "| **Baseline** | `0.7500`<br>_a.mp4_ | N/A | N/A | N/A | N/A |" in text
    assert "heatmap" not in text


@pytest.mark.parametrize(
    ("reduction", "text"), [(0.4981, "-49.8%"), (-0.0018, "+0.2%"), (0.0, "0.0%"), (0.0004, "0.0%"), (-0.0004, "0.0%")]
)
def test_reductions_have_one_sign(reduction: float, text: str) -> None:
    assert reduction_text(reduction) == text


@pytest.mark.parametrize(
    ("diff", "text"), [(-0.2429, "-0.2429"), (0.01, "+0.0100"), (0.0, "+0.0000"), (-1e-9, "+0.0000")]
)
def test_differences_have_one_sign(diff: float, text: str) -> None:
    assert diff_text(diff) == text


@pytest.mark.parametrize(("share", "text"), [(0.694, "69.4%"), (-1e-6, "0.0%"), (-0.11, "-11.0%"), (1.5, "150.0%")])
def test_shares_have_no_negative_zero(share: float, text: str) -> None:
    assert percent_text(share) == text


@pytest.mark.parametrize(("decibels", "text"), [(26.04, "26.0"), (-0.01, "0.0"), (None, "-")])
def test_decibels_that_were_not_measured_are_no_number(decibels: float | None, text: str) -> None:
    assert decibel_text(decibels) == text


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("id37_id3_0004.mp4", "id37_id3_0.."),
        ("id51_0001.mp4", "id51_0001..."),
        ("id4_0004.mp4", "id4_0004.mp4"),
        ("Celeb-real/00047.mp4", "00047.mp4"),
    ],
)
def test_names_are_cut_as_in_the_reference_report(name: str, text: str) -> None:
    assert shortened_name(name) == text


def test_escaping_leaves_ordinary_names_alone() -> None:
    assert escaped("id37_id3_0004.mp4 (1) é-p50") == "id37_id3_0004.mp4 (1) é-p50"
    assert escaped("__a__ ~~b~~ $c$") == "&#95;&#95;a_&#95; &#126;&#126;b&#126;&#126; &#36;c&#36;"
    assert escaped("a|b\n`c` <d>") == "a&#124;b &#96;c&#96; &#60;d&#62;"
