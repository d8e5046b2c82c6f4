from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from calibration.int8_record import GroupRecord, Int8Record, RepairRecord
from evaluate.report import write_report
from evaluate.sections.int8_section import HARMFUL_GROUPS, int8_lines
from evaluate.sections.markdown import markdown_from_record
from evaluate.summary import summary_from_record
from tests.evaluate.int8_reference import MISSED, WARNING, b5_record, int8_reference_record, unmeasured
from tests.evaluate.reference import reference_record

if TYPE_CHECKING:
    from evaluate.record import ReportRecord

GOLDEN = Path(__file__).parents[2] / "golden" / "int8_section.md"
REGENERATE = "REGENERATE_GOLDEN"


def headings_of(record: ReportRecord) -> list[str]:
    return re.findall(r"^## .*$", markdown_from_record(record), re.MULTILINE)


def with_record(int8: Int8Record) -> ReportRecord:
    record = reference_record()
    return replace(record, variants=(*record.variants[:4], replace(record.variants[4], int8=int8)))


def rows_of(text: str, first_cell: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith(f"| {first_cell} |")]
    return [line.strip("| ").split(" | ") for line in lines]


def test_the_section_equals_the_reviewed_one() -> None:
    text = "\n".join(int8_lines(int8_reference_record(), 6)) + "\n"
    if os.environ.get(REGENERATE):
        GOLDEN.write_text(text, encoding="utf-8")
    assert text == GOLDEN.read_text(encoding="utf-8"), f"review the change, then run with {REGENERATE}=1"


def test_sections_are_numbered_without_a_gap_with_and_without_int8() -> None:
    shared = ["## 1. Performance Summary", "## 2. Key Insights", "## 3. Classification Quality"]
    shared += ["## 4. Visualizations", "## 5. Visual Analysis"]
    assert headings_of(reference_record()) == [*shared, "## 6. Engines", "## 7. Data and Method"]
    with_int8 = [*shared, "## 6. INT8", "## 7. Engines", "## 8. Data and Method"]
    assert headings_of(int8_reference_record()) == with_int8
    assert int8_lines(reference_record(), 6) == []


def test_the_overview_adds_up_what_the_groups_say() -> None:
    int8 = b5_record()
    macs = {"int8": 0, "int8-weights": 0, "float": 0}
    layers = {"int8": 0, "int8-weights": 0, "float": 0}
    for group in int8.groups:
        macs[group.arithmetic] += group.macs
        layers[group.arithmetic] += len(group.layers)
    text = "\n".join(int8_lines(with_record(int8), 6))
    row = rows_of(text, "**q8**")[0]
    assert row[2] == f"{macs['int8'] / sum(macs.values()) * 100:.1f}%"
    assert row[3] == " / ".join(map(str, layers.values()))
    assert row[4:] == [
        "26.0 (aim 25.0)",
        "3 of 128",
        "-0.0003 (limit -0.0010)",
        "27.80 (limit 27.00)",
        "**1 missed**",
    ]


@pytest.mark.parametrize(
    ("changes", "limits"),
    [
        ({"missed": ()}, "met"),
        ({"missed": (), "max_size_mib": None, "min_sqnr_db": None}, "met"),
        ({"missed": (), "max_size_mib": None, "min_sqnr_db": None, "max_auc_drop": None}, "none set"),
        ({"missed": ("a", "b")}, "**2 missed**"),
    ],
)
def test_the_overview_says_whether_limits_are_met(changes: dict, limits: str) -> None:
    text = "\n".join(int8_lines(with_record(replace(b5_record(), **changes)), 6))
    assert rows_of(text, "**q8**")[0][-1] == limits


def test_missed_limits_and_warnings_stand_in_the_section_in_the_first_one_and_in_the_summary() -> None:
    record = int8_reference_record()
    text = markdown_from_record(record)
    first, section = text.split("## 2.")[0], text.split("## 6. INT8")[1]
    shown = MISSED.replace("|", "&#124;")
    assert f"**Warning:** q8: {shown}" in first
    assert f"**Warning:** q8, q8-p50: {WARNING}" in first
    assert section.index(f"**Missed:** q8: {shown}") < section.index("| Model |")
    assert section.index(f"**Warning:** q8, q8-p50: {WARNING}") < section.index("| Model |")
    printed = summary_from_record(record).splitlines()
    assert printed[-2:] == [f"warning: q8: {MISSED}", f"warning: q8, q8-p50: {WARNING}"]


def test_the_most_harmful_groups_are_listed_and_the_others_counted() -> None:
    int8 = b5_record()
    harms = [(group.int8_sqnr_db or group.weights_sqnr_db or 999.0, group) for group in int8.groups]
    worst = [group for _, group in sorted(harms, key=lambda pair: pair[0])[:HARMFUL_GROUPS]]
    text = "\n".join(int8_lines(with_record(int8), 6))
    listed = [line.strip("| ").split(" | ") for line in text.split("| Group |")[1].splitlines()[2:]][:HARMFUL_GROUPS]
    assert [row[0] for row in listed] == [group.name for group in worst]
    shown = ["-" if group.int8_sqnr_db is None else f"{group.int8_sqnr_db:.1f}" for group in worst]
    assert [row[5] for row in listed] == shown
    assert [float(row[6]) for row in listed] == [round(group.weights_sqnr_db or 0.0, 1) for group in worst]
    expected = "144 other groups (1 of them not measured); all groups are in "
    assert f"{expected}[report/sensitivity-q8.json](sensitivity-q8.json)." in text
    assert "![Sensitivity](sensitivity-q8.png)" in text


def test_a_recipe_that_measures_no_group_shows_none() -> None:
    text = "\n".join(int8_lines(with_record(unmeasured(b5_record())), 6))
    assert "Put back to float" not in text
    assert "No group was measured alone (recipe fast)" in text
    assert "No repair was tried." in text
    assert "sensitivity-" not in text


def test_what_is_not_measured_has_no_figure() -> None:
    record = int8_reference_record()
    text = "\n".join(int8_lines(replace(record, variants=[v for v in record.variants if v.precision != "FP16"]), 6))
    assert "Inference time and device memory were not measured" in text
    rows = rows_of(text.split("### What each INT8 variant really saves")[1].split("###")[0], "**q8**")
    assert [row[5:] for row in rows] == [["N/A", "N/A", "N/A", "N/A"]] * 2


def test_tables_hold_whatever_the_record_says() -> None:
    hostile = "a|b\n`c` <d>[e](f)*"
    group = GroupRecord(hostile, hostile, (hostile,), 1, 0, 20.0, None, None, "float", hostile)
    int8 = replace(
        b5_record(),
        groups=(group,),
        repairs=(RepairRecord(hostile, 1.0, 2.0, kept=True),),
        range_methods={hostile: 1},
        missed=(hostile,),
        warnings=(hostile,),
    )
    text = "\n".join(int8_lines(with_record(int8), 6))
    tables = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    assert len(tables) == 5
    assert all(len({line.count("|") for line in table.splitlines()}) == 1 for table in tables)
    assert "<d>" not in text
    assert "[e]" not in text


def test_every_figure_that_the_report_links_to_is_written(tmp_path: Path) -> None:
    write_report(tmp_path, int8_reference_record())
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    linked = set(re.findall(r"\((sensitivity-[^)]*)\)", text))
    expected = {f"sensitivity-{name}.{suffix}" for name in ("q8", "q8-p50") for suffix in ("png", "json")}
    assert linked == expected == {path.name for path in tmp_path.glob("sensitivity-*")}
    numbers = json.loads((tmp_path / "sensitivity-q8.json").read_text(encoding="utf-8"))
    assert len(numbers["groups"]) == 156
