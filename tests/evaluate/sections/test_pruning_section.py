from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from evaluate.record import read_record, write_record
from evaluate.report import write_report
from evaluate.sections.markdown import markdown_from_record
from evaluate.sections.pruning_section import HEAVIEST_LOSSES, pruning_lines
from evaluate.summary import summary_from_record
from pruning.record import Closeness, LayerPruning, PruningRecord, PruningStep
from tests.evaluate.int8_reference import b5_record
from tests.evaluate.pruning_reference import MISSED, WARNING, b5_pruning, pruning_reference_record

if TYPE_CHECKING:
    from evaluate.record import ReportRecord

GOLDEN = Path(__file__).parents[2] / "golden" / "pruning_section.md"
REGENERATE = "REGENERATE_GOLDEN"

SMALL = PruningRecord(
    kind="structured",
    percent=25,
    recipe="accurate",
    layers=(
        LayerPruning("stem", "stem", 200, 0, 0),
        LayerPruning("body.0", "convolution", 1_000, 400, 100),
        LayerPruning("body.1", "convolution", 2_800, 500, 0),
    ),
    parameters_before=8_000_000,
    parameters_after=6_000_000,
    macs_before=2_500_000_000,
    macs_after=2_000_000_000,
    dense=Closeness(90.0, 0.98, 0),
    steps=(PruningStep("removal", Closeness(90.0, 0.98, 0), Closeness(9.96, 0.971, 12), kept=True),),
    final=Closeness(9.96, 0.971, 12),
    fitted_images=0,
    held_back_images=96,
    min_sqnr_db=8.0,
    max_auc_drop=0.02,
    max_flip_share=0.2,
)


def section_of(record: ReportRecord) -> str:
    return "\n".join(pruning_lines(record, 6))


def with_pruning(pruning: PruningRecord) -> ReportRecord:
    """Returns the reference with one pruned variant, `q16-s50`, and its dense twins."""
    record = pruning_reference_record()
    return replace(record, variants=(*record.variants[:3], replace(record.variants[4], pruning=pruning)))


def rows_of(text: str, first_cell: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith(f"| {first_cell} |")]
    return [line[2:-2].split(" | ") for line in lines]


def subsection(text: str, heading: str) -> str:
    return text.split(f"### {heading}\n")[1].split("\n### ")[0]


def headings_of(record: ReportRecord) -> list[str]:
    return re.findall(r"^## .*$", markdown_from_record(record), re.MULTILINE)[5:]


def test_the_section_equals_the_reviewed_one() -> None:
    text = section_of(pruning_reference_record()) + "\n"
    if os.environ.get(REGENERATE):
        GOLDEN.write_text(text, encoding="utf-8")
    assert text == GOLDEN.read_text(encoding="utf-8"), f"review the change, then run with {REGENERATE}=1"


def test_there_is_no_section_without_a_pruned_variant() -> None:
    record = pruning_reference_record()
    dense = replace(record, variants=record.variants[:3])
    assert pruning_lines(dense, 6) == []
    assert headings_of(dense) == ["## 6. Engines", "## 7. Data and Method"]


def test_sections_are_numbered_without_a_gap() -> None:
    record = pruning_reference_record()
    assert headings_of(record) == ["## 6. Pruning", "## 7. Engines", "## 8. Data and Method"]
    q8 = replace(record.variants[2], int8=b5_record())
    both = replace(record, variants=(*record.variants[:2], q8, *record.variants[3:]))
    assert headings_of(both) == ["## 6. Pruning", "## 7. INT8", "## 8. Engines", "## 9. Data and Method"]


def test_every_source_has_one_row_and_one_part() -> None:
    text = section_of(pruning_reference_record(curve=True))
    overview = text.split("### What pruning saves")[0]
    for source in ("p50", "s20", "s30", "s40", "s50", "n24"):
        assert len(rows_of(overview, f"**{source}**")) == 1
        assert text.count(f"### Layers of {source}\n") == 1
        assert text.count(f"](pruning-{source}.png)") == 1
    assert len(re.findall(r"^\| \*\*", overview, re.MULTILINE)) == 6


def test_the_overview_has_the_figures_worked_out_by_hand() -> None:
    (row,) = rows_of(section_of(with_pruning(SMALL)).split("### What")[0], "**s50**")
    assert row[1:3] == ["structured", "accurate"]
    # 400 + 100 + 500 of 200 + 1000 + 2800 weights.
    assert row[3] == "25.0%"
    assert row[4:6] == ["8.00 to 6.00 (-25.0%)", "2.50 to 2.00 (-20.0%)"]
    # 12 of 96 images; 0.971 against 0.98.
    assert row[6:] == ["10.0 (aim 8.0)", "12 of 96 (12.5%, limit 20.0%)", "0.9710 (-0.0090, limit -0.0200)", "met"]


@pytest.mark.parametrize(
    ("changes", "limits"),
    [
        ({}, "met"),
        ({"min_sqnr_db": None, "max_auc_drop": None}, "met"),
        ({"min_sqnr_db": None, "max_auc_drop": None, "max_flip_share": None}, "none set"),
        ({"missed": ("a", "b")}, "**2 missed**"),
    ],
)
def test_the_overview_says_whether_limits_are_met(changes: dict[str, Any], limits: str) -> None:
    text = section_of(with_pruning(replace(SMALL, **changes))).split("### What")[0]
    assert rows_of(text, "**s50**")[0][-1] == limits


def test_missed_limits_and_warnings_stand_in_the_section_in_the_first_one_and_in_the_summary() -> None:
    record = pruning_reference_record()
    text = markdown_from_record(record)
    first, section = text.split("## 2.")[0], text.split("## 6. Pruning")[1]
    shown = MISSED.replace("|", "&#124;")
    assert f"**Warning:** s50: {shown}" in first
    assert f"**Warning:** p50, s50: {WARNING}" in first
    assert section.index(f"**Missed:** s50: {shown}") < section.index("| Source |")
    assert section.index(f"**Warning:** p50, s50: {WARNING}") < section.index("| Source |")
    printed = summary_from_record(record).splitlines()
    assert printed[-2:] == [f"warning: s50: {MISSED}", f"warning: p50, s50: {WARNING}"]


def test_every_engine_of_a_pruned_variant_has_a_row_of_what_it_saves() -> None:
    table = subsection(section_of(pruning_reference_record()), "What pruning saves")
    rows = [rows_of(table, f"**{name}**") for name in ("q16-p50", "q16-s50", "q8-s50", "q16-n24")]
    assert [[row[3] for row in pair] for pair in rows] == [["onnxruntime 1.22.0", "tensorrt 10.9"]] * 4
    assert rows[0][0][1:] == ["54.60", "0.0%", "onnxruntime 1.22.0", "any", "54.60", "0.0%", *["N/A"] * 4]
    assert rows[0][1][4:] == ["8.6", "58.00", "0.0%", "31.00", "-38.0%", "N/A", "N/A"]
    assert rows[1][1][1:3] + rows[1][1][5:9] == ["27.30", "-50.0%", "29.00", "-50.0%", "24.00", "-52.0%"]
    assert rows[2][1][1:3] + rows[2][1][5:9] == ["14.46", "-48.0%", "22.00", "-45.0%", "12.50", "-50.0%"]
    assert rows[3][1][5:] == ["60.90", "+5.0%", "33.50", "-33.0%", "113", "41"]
    assert "**q16** |" not in table


def test_a_variant_without_engines_still_shows_its_file() -> None:
    record = with_pruning(SMALL)
    unbuilt = replace(record, variants=(*record.variants[:3], replace(record.variants[3], engines=())))
    (row,) = rows_of(section_of(unbuilt), "**q16-s50**")
    assert row[1:] == ["27.30", "-50.0%", "no engine", *["N/A"] * 7]


def test_each_kind_present_says_what_it_can_save() -> None:
    every = section_of(pruning_reference_record())
    assert [every.count(f"\n- {kind}: ") for kind in ("unstructured", "structured", "2:4")] == [1, 1, 1]
    one = section_of(with_pruning(SMALL))
    assert [one.count(f"\n- {kind}: ") for kind in ("unstructured", "structured", "2:4")] == [0, 1, 0]


def test_steps_are_told_with_what_they_changed() -> None:
    step = PruningStep("least squares", Closeness(9.96, 0.971, 12), Closeness(16.0, 0.9765, 3), kept=False)
    table = subsection(section_of(with_pruning(replace(SMALL, steps=(*SMALL.steps, step)))), "Repairs")
    removal, repair = rows_of(table, "**s50**")
    assert removal[1:] == ["removal", "90.0 to 10.0", "0.9800 to 0.9710", "0 to 12", "yes"]
    assert repair[1:] == ["least squares", "10.0 to 16.0", "0.9710 to 0.9765", "12 to 3", "no"]
    assert "No step was measured." in section_of(with_pruning(replace(SMALL, steps=())))


def test_the_layers_that_lost_most_are_listed_and_roles_summed_up() -> None:
    pruning = b5_pruning("unstructured", 50)
    text = subsection(section_of(pruning_reference_record()), "Layers of p50")
    lost = sorted(pruning.layers, key=lambda layer: layer.zeros, reverse=True)[:HEAVIEST_LOSSES]
    listed = [line[2:-2].split(" | ") for line in text.split("| Layer |")[1].splitlines()[2:]][:HEAVIEST_LOSSES]
    assert [row[0] for row in listed] == [layer.name for layer in lost]
    assert [row[5] for row in listed] == [f"{100 * layer.zeros / layer.weights:.1f}%" for layer in lost]
    assert f"The {HEAVIEST_LOSSES} of 195 layers" in text
    gates = [layer for layer in pruning.layers if layer.role == "squeeze-excite"]
    weights, zeros = sum(gate.weights for gate in gates), sum(gate.zeros for gate in gates)
    (row,) = [row for row in rows_of(text, "squeeze-excite") if len(row) == 7]
    assert row[1:] == ["78", "0", f"{weights:,}", "0", f"{zeros:,}", f"{100 * zeros / weights:.1f}%"]
    assert "All layers are in [report/pruning-p50.json](pruning-p50.json)." in text


def test_a_source_that_lost_nothing_has_no_list_of_losses() -> None:
    untouched = replace(SMALL, layers=(LayerPruning("a", "convolution", 10, 0, 0),))
    assert "lost most weights" not in section_of(with_pruning(untouched))


def test_three_percentages_show_size_against_auc() -> None:
    text = subsection(section_of(pruning_reference_record(curve=True)), "Size against AUC")
    assert "![Size against AUC](pruning-curve.png)" in text
    assert rows_of(text, "**q16**") == [["**q16**", "0%", "54.60", "0.9548", "+0.0000"]]
    assert rows_of(text, "**q16-s30**") == [["**q16-s30**", "30%", "38.30", "0.9529", "-0.0019"]]
    assert rows_of(text, "**q16-s50**") == [["**q16-s50**", "50%", "27.30", "0.9423", "-0.0125"]]
    assert "the dashed line is 0.01 below" in text
    assert "Size against AUC" not in section_of(pruning_reference_record())


def test_a_curve_says_what_is_simulated_and_what_cannot_be_compared() -> None:
    record = pruning_reference_record(curve=True)
    variants = tuple(replace(v, simulation="on the CPU") for v in record.variants if v.name != "q16")
    text = subsection(section_of(replace(record, variants=variants)), "Size against AUC")
    assert rows_of(text, "**q16-s30**") == [["**q16-s30**", "30%", "38.30", "0.9529 (simulated)", "N/A"]]
    assert "dashed" not in text


def test_tables_hold_whatever_the_record_says() -> None:
    hostile = "a|b\n`c` <d>[e](f)*"
    pruning = replace(
        SMALL,
        layers=(LayerPruning(hostile, hostile, 10, 1, 1),),
        steps=(PruningStep(hostile, SMALL.dense, SMALL.final, kept=True),),
        missed=(hostile,),
        warnings=(hostile,),
    )
    record = with_pruning(pruning)
    variant = replace(record.variants[3], name=hostile, source=hostile)
    text = section_of(replace(record, variants=(*record.variants[:3], variant)))
    tables = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    assert len(tables) == 5
    assert all(len({line.count("|") for line in table.splitlines()}) == 1 for table in tables)
    assert "<d>" not in text
    assert "[e]" not in text


def test_the_section_is_the_same_from_a_stored_report(tmp_path: Path) -> None:
    record = pruning_reference_record(curve=True)
    write_record(tmp_path / "report.json", record)
    assert section_of(read_record(tmp_path / "report.json")) == section_of(record)


def test_every_figure_that_the_report_links_to_is_written(tmp_path: Path) -> None:
    write_report(tmp_path, pruning_reference_record(curve=True))
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    linked = set(re.findall(r"\((pruning-[^)]*)\)", text))
    names = ("p50", "s20", "s30", "s40", "s50", "n24")
    expected = {f"pruning-{name}.{suffix}" for name in names for suffix in ("png", "json")}
    assert linked == expected | {"pruning-curve.png"}
    assert linked | {"pruning-curve.json"} == {path.name for path in tmp_path.glob("pruning-*")}
