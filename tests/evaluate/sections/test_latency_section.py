from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from evaluate.number_text import milliseconds_text, rate_text, speed_up_text
from evaluate.report import write_report
from evaluate.sections.latency_section import latency_lines
from evaluate.sections.markdown import markdown_from_record
from tests.evaluate.int8_reference import b5_record, int8_reference_record
from tests.evaluate.latency_reference import cpu_latency, gpu_latency, latency_reference_record, with_latency
from tests.evaluate.pruning_reference import pruning_reference_record
from tests.evaluate.reference import reference_record

if TYPE_CHECKING:
    from evaluate.record import ReportRecord

GOLDEN = Path(__file__).parents[2] / "golden" / "latency_section.md"
REGENERATE = "REGENERATE_GOLDEN"
CPU_SENTENCE = "They say nothing about a GPU"


def section(text: str) -> str:
    return text.split(". Latency\n")[1].split("\n## ")[0]


def rows_of(text: str, first_cell: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith(f"| **{first_cell}** |")]
    return [line.strip("| ").split(" | ") for line in lines]


def test_the_section_equals_the_reviewed_one() -> None:
    text = "\n".join(latency_lines(latency_reference_record(), 6)) + "\n"
    if os.environ.get(REGENERATE):
        GOLDEN.write_text(text, encoding="utf-8")
    assert text == GOLDEN.read_text(encoding="utf-8"), f"review the change, then run with {REGENERATE}=1"


@pytest.mark.parametrize("timed", [False, True])
@pytest.mark.parametrize(
    ("record", "optional"),
    [
        (reference_record(), []),
        (int8_reference_record(), ["INT8"]),
        (pruning_reference_record(), ["Pruning"]),
    ],
)
def test_sections_are_numbered_without_a_gap(timed: bool, record: ReportRecord, optional: list[str]) -> None:
    if timed:
        first = replace(record.variants[0], latency=(gpu_latency("baseline"),))
        record, optional = replace(record, variants=(first, *record.variants[1:])), [*optional, "Latency"]
    headings = re.findall(r"^## (\d+)\. (.*)$", markdown_from_record(record), re.MULTILINE)
    assert [int(number) for number, _ in headings] == list(range(1, len(headings) + 1))
    assert [title for _, title in headings][5:] == [*optional, "Engines", "Data and Method"]


def test_nothing_measured_says_nothing() -> None:
    assert latency_lines(reference_record(), 6) == []
    assert "Latency" not in markdown_from_record(reference_record())
    unmeasured = with_latency(reference_record(), q8=(replace(gpu_latency("q8"), batches=()),))
    assert latency_lines(unmeasured, 6) == []


def test_a_row_has_the_figures_of_its_record() -> None:
    latency = gpu_latency("q16")
    text = "\n".join(latency_lines(latency_reference_record(), 6))
    whole, *_ = rows_of(text, "q16")
    measured = latency.batches[0]
    spread = measured.latency
    shown = [spread.median, spread.minimum, spread.mean, spread.p90, spread.p95, spread.p99, spread.maximum]
    assert [float(cell) for cell in whole[4:11]] == pytest.approx(shown, abs=6e-4)
    assert float(whole[2]) == pytest.approx(measured.images_per_second, abs=0.06)
    assert (int(whole[1]), int(whole[11])) == (1, measured.queries)
    split = rows_of(text.split("Where the time goes")[1], "q16")[1]
    assert split == ["**q16**", "8", "1.360", "10.45", "0.004", "0.110"]
    start = rows_of(text.split("What the first answer costs")[1], "q16")[0]
    assert start == ["**q16**", "412.3", "38.25", "21.50", "300.5"]


def test_an_unstable_time_is_marked_and_only_that() -> None:
    text = "\n".join(latency_lines(latency_reference_record(), 6))
    cells = [
        row[12] for name in ("baseline", "q16", "q32-p50", "q8", "q8-p50") for row in rows_of(text, name) if row[12:]
    ]
    assert [cell for cell in cells if cell.startswith("**")] == ["**3.1%**"]
    assert rows_of(text, "q8")[0][12] == "**3.1%**"


def test_warnings_stand_in_the_section_and_in_the_first_one() -> None:
    text = markdown_from_record(latency_reference_record(cpu=False))
    for place in (text.split("## 2.")[0], section(text)):
        assert "**Warning:** q8: at batch 1, the compute time varies by more than 2.5%" in place
        assert "**Warning:** q8-p50: at batch 1, handing over the work" in place


def test_the_sentence_on_cpus_stands_where_a_cpu_was_measured() -> None:
    gpu = "\n".join(latency_lines(latency_reference_record(cpu=False), 6))
    assert CPU_SENTENCE not in gpu
    both = "\n".join(latency_lines(latency_reference_record(), 6))
    assert both.count(CPU_SENTENCE) == 1
    assert CPU_SENTENCE in both.split("### onnxruntime 1.22.0 on CPU")[1]


def test_without_copies_nothing_is_split_and_no_copy_is_claimed() -> None:
    record = with_latency(reference_record(), baseline=(cpu_latency("baseline"),))
    text = "\n".join(latency_lines(record, 6))
    assert "Where the time goes" not in text
    assert "no copy was timed" in text
    assert "execution context" not in text
    assert "![Latency" not in text


def test_the_conditions_are_told() -> None:
    text = "\n".join(latency_lines(latency_reference_record(), 6))
    gpu, cpu = text.split("### onnxruntime")
    assert "Conditions: CUDA graph: yes; warm-up: 200 ms; measured: at least 10 queries and 3 s." in gpu
    assert "provider: CPUExecutionProvider; threads: 2; warm-up: 200 ms" in cpu


def test_names_from_elsewhere_are_escaped() -> None:
    hostile = replace(
        gpu_latency("q8"), backend="a|b", device="<i>", conditions={"x|": "`y`"}, warnings=("w|<b>",), batches=()
    )
    hostile = replace(hostile, batches=gpu_latency("q8").batches)
    text = "\n".join(latency_lines(with_latency(reference_record(), q8=(hostile,)), 6))
    assert not re.search(r"a\|b|<i>|<b>|`y`|x\|", text)
    tables = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    assert len(tables) == 3
    assert all(len({line.count("|") for line in table.splitlines()}) == 1 for table in tables)


def test_the_fastest_stable_variant_is_among_the_insights() -> None:
    text = markdown_from_record(latency_reference_record())
    assert (
        "- Fastest within 1% AUC of baseline: **q16** (3.272 ms at batch 1 by tensorrt 10.13.0 on NVIDIA L4; 1.95x the "
        "baseline's speed).\n\n## 3." in text
    )
    assert "Fastest" not in markdown_from_record(with_latency(reference_record(), q16=(gpu_latency("q16"),)))


def test_the_section_on_int8_says_where_its_time_is() -> None:
    record = reference_record()
    record = replace(record, variants=(*record.variants[:4], replace(record.variants[4], int8=b5_record())))
    assert "were not measured; evaluate-engines --latency does that" in markdown_from_record(record)
    timed = markdown_from_record(with_latency(record, q8=(gpu_latency("q8"),)))
    assert "were not measured" not in timed
    assert "is in the section on latency." in timed


def test_the_report_has_the_plot_that_the_section_shows(tmp_path: Path) -> None:
    write_report(tmp_path / "a", latency_reference_record())
    assert "](latency_against_auc.png)" in (tmp_path / "a" / "report.md").read_text(encoding="utf-8")
    assert (tmp_path / "a" / "latency_against_auc.png").is_file()
    assert (tmp_path / "a" / "latency_against_auc.json").is_file()
    write_report(tmp_path / "b", reference_record())
    assert not (tmp_path / "b" / "latency_against_auc.png").exists()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0.000"),
        (0.0041, "0.004"),
        (9.9994, "9.999"),
        (9.9996, "10.00"),
        (99.996, "100.0"),
        (999.96, "1,000"),
        (12345.6, "12,346"),
    ],
)
def test_times_and_rates_have_about_four_digits(value: float, text: str) -> None:
    assert milliseconds_text(value) == rate_text(value) == text


def test_what_was_not_measured_is_no_number() -> None:
    assert (milliseconds_text(None), speed_up_text(None), speed_up_text(1.954)) == ("-", "N/A", "1.95x")
