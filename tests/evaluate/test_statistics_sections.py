from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

import pytest

from evaluate.comparison import compared_variants
from evaluate.number_text import interval_text, p_value_text, proportion_text
from evaluate.sections.cam_section import cam_lines
from evaluate.sections.drift_section import drift_lines
from evaluate.sections.interval_section import interval_lines
from evaluate.sections.ladder_section import ladder_lines
from evaluate.sections.markdown import markdown_from_record
from evaluate.sections.provenance_section import provenance_lines
from evaluate.sections.quality_section import quality_lines
from evaluate.sections.slice_section import slice_lines, worst_slices
from evaluate.sections.threshold_section import threshold_lines
from evaluate.sections.verdict_section import decision_lines, verdict_section_lines
from evaluate.statistics.interval import Interval
from evaluate.statistics.proportion import Proportion
from evaluate.verdict.limits import Limits
from evaluate.verdict.verdict import Decision, Verdict
from tests.evaluate.reference import reference_record
from tests.evaluate.statistics_reference import statistics_record, verdict_on_statistics

if TYPE_CHECKING:
    from evaluate.record import ReportRecord, VariantStatistics

GOLDEN = Path(__file__).parents[1] / "golden" / "statistics_sections.md"
REGENERATE = "REGENERATE_GOLDEN"
HEADINGS = [
    "AUC with Intervals",
    "Metrics of Videos and Frames",
    "Thresholds",
    "Score Drift",
    "Slices",
    "Stage Ladder",
    "Agreement of Heatmaps",
    "Engines",
    "Data and Method",
]


def sections(record: ReportRecord, verdict: Verdict) -> str:
    parts = (
        verdict_section_lines(record, verdict),
        interval_lines(record, 6, verdict),
        quality_lines(record, 7),
        threshold_lines(record, 8),
        drift_lines(record, 9),
        slice_lines(record, 10),
        ladder_lines(record, 11),
        cam_lines(record, 12),
        provenance_lines(record, 14),
        decision_lines(verdict),
    )
    return "\n".join("\n".join(lines).rstrip("\n") + "\n" for lines in parts)


def rows_of(text: str, first_cell: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith(f"| **{first_cell}** |")]
    return [line.strip("| ").split(" | ") for line in lines]


def statistics_of(record: ReportRecord, name: str) -> VariantStatistics:
    statistics = next(variant.statistics for variant in record.variants if variant.name == name)
    assert statistics is not None
    return statistics


def test_the_sections_equal_the_reviewed_ones() -> None:
    text = sections(statistics_record(), verdict_on_statistics())
    if os.environ.get(REGENERATE):
        GOLDEN.write_text(text, encoding="utf-8")
    assert text == GOLDEN.read_text(encoding="utf-8"), f"review the change, then run with {REGENERATE}=1"


@pytest.mark.parametrize("graded", [False, True])
def test_new_sections_follow_the_fifth_without_a_gap(graded: bool) -> None:
    text = markdown_from_record(statistics_record(), verdict_on_statistics() if graded else None)
    headings = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert headings[0] == ("Verdict: FAIL" if graded else "1. Performance Summary")
    numbered = [heading.split(". ", 1) for heading in headings if heading[0].isdigit()]
    assert [int(number) for number, _ in numbered] == list(range(1, len(numbered) + 1))
    assert [title for _, title in numbered][5:] == HEADINGS


def test_without_statistics_nothing_is_said_about_them() -> None:
    text = markdown_from_record(reference_record())
    assert re.findall(r"^## \d+\. (.*)$", text, re.MULTILINE)[5:] == HEADINGS[-2:]
    assert "in section 6" not in text
    for lines_of in (interval_lines, quality_lines, threshold_lines, drift_lines, slice_lines, ladder_lines, cam_lines):
        assert lines_of(reference_record(), 6) == []  # type: ignore[operator]  # a list of functions


def test_every_table_has_as_many_cells_in_each_row_as_in_its_header() -> None:
    record, verdict = statistics_record(), verdict_on_statistics()
    hostile = replace(record.variants[1], name="q|<b>`x", source="a|b")
    videos = tuple(replace(video, sample=f"<i>{video.sample}|") for video in record.videos)
    renamed = replace(verdict.variants[1], variant="q|<b>`x")
    text = markdown_from_record(
        replace(record, variants=(record.variants[0], hostile, *record.variants[2:]), videos=videos),
        replace(verdict, variants=(renamed, *verdict.variants[2:]), decision=Decision("<b>", "|", "`x` | <i>")),
    )
    tables = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    assert len(tables) > 20
    assert all(len({line.count("|") for line in table.splitlines()}) == 1 for table in tables)
    assert "<b>" not in text
    assert "<i>" not in text


def test_every_image_is_one_that_the_report_writes() -> None:
    record = statistics_record()
    text = markdown_from_record(record, verdict_on_statistics())
    links = {unquote(link) for link in re.findall(r"!\[[^\]]*\]\(([^)\s]+)\)", text)}
    plots = {"auc_differences.png", "reliability_diagram.png", "score_scatter.png", "stage_ladder.png"}
    pictures = {sample.picture for sample in record.gallery}
    heatmaps = {path for sample in record.gallery for path in sample.heatmaps.values()}
    assert {link for link in links if link.startswith("gallery/")} == pictures | heatmaps
    assert {link for link in links if "/" not in link} >= plots


def test_the_verdict_names_what_decided_and_what_to_do() -> None:
    text = "\n".join(verdict_section_lines(statistics_record(), verdict_on_statistics()))
    (q8,) = rows_of(text, "q8")
    assert q8[1] == "**FAIL**"
    assert "max_flips" in q8[2]
    assert "max_auc_drop" not in q8[2]  # undecided, and so not what made it FAIL
    assert q8[3].count("<br>") == 1
    (undecided,) = rows_of(text, "q16-p50")
    assert undecided[1] == "**INCONCLUSIVE**"
    assert undecided[3] == "score more &#124; other videos"  # one step for two limits is said once
    assert rows_of(text, "q16")[0][1:] == ["**PASS (simulated)**", "3 of 3 limits kept", "-"]
    assert rows_of(text, "q32-p50")[0][1:] == ["**PASS**", "2 of 3 limits kept, 1 waived", "-"]
    assert "Waived for q32-p50: `max_false_alarms` (INCONCLUSIVE), because FP32 is not shipped." in text
    assert "Signed by A. Signer" in text


def test_a_waived_limit_decides_nothing() -> None:
    verdict = verdict_on_statistics()
    q8 = verdict.variants[4]
    findings = tuple(replace(f, waived="agreed") if f.limit == "max_flips" else f for f in q8.findings)
    text = "\n".join(
        verdict_section_lines(statistics_record(), replace(verdict, variants=(replace(q8, findings=findings),)))
    )
    assert rows_of(text, "q8")[0][2].startswith("`max_false_alarms`")
    assert "max_flips" not in rows_of(text, "q8")[0][2]


def test_the_baseline_is_the_reference_and_has_no_grade() -> None:
    verdict = verdict_on_statistics()
    missed = replace(verdict.variants[0], grade="INCONCLUSIVE", findings=verdict.variants[4].findings)
    text = "\n".join(verdict_section_lines(statistics_record(), replace(verdict, variants=(missed,))))
    assert rows_of(text, "baseline")[0][1:] == ["reference", "-", "-"]
    assert "shown neither" not in text
    candidate = replace(verdict, variants=(replace(missed, is_candidate=True),))
    assert rows_of("\n".join(verdict_section_lines(statistics_record(), candidate)), "baseline")[0][1] != "reference"


@pytest.mark.parametrize(("own", "note"), [(0.1, ", `max_flips` relaxed to 10%"), (0.01, ""), (0.06, "")])
def test_a_weaker_limit_of_its_own_is_told(own: float, note: str) -> None:
    verdict = verdict_on_statistics()
    limits = replace(verdict.limits, of_variant={"q16": Limits(max_flips=own, min_auc=0.5)})
    text = "\n".join(verdict_section_lines(statistics_record(), replace(verdict, limits=limits)))
    assert rows_of(text, "q16")[0][2] == f"3 of 3 limits kept{note}"
    assert rows_of(text, "q32-p50")[0][2] == "2 of 3 limits kept, 1 waived"


def test_the_threshold_of_the_decisions_is_told_where_a_limit_is_about_them() -> None:
    told = "Decisions were graded at the threshold"
    verdict = verdict_on_statistics()
    text = "\n".join(verdict_section_lines(statistics_record(), verdict))
    assert f"{told} 0.4700, frozen on the baseline; deploy with that one: no limit was checked at the refitted" in text
    text = "\n".join(verdict_section_lines(statistics_record(validated=False), verdict))
    assert f"{told} 0.5000, because none was fitted; deploy with that one." in text
    variants = tuple(replace(entry, findings=entry.findings[:1]) for entry in verdict.variants)
    assert told not in "\n".join(verdict_section_lines(statistics_record(), replace(verdict, variants=variants)))


def test_stated_limits_are_not_rounded() -> None:
    verdict = verdict_on_statistics()
    findings = tuple(replace(finding, allowed=0.00042) for finding in verdict.variants[1].findings)
    lines = decision_lines(replace(verdict, variants=(replace(verdict.variants[1], findings=findings),)))
    assert [row[2] for row in rows_of("\n".join(lines), "q16")] == ["≤ 0.00042", "≤ 0.042%", "≤ 0.042%"]


def test_insights_name_the_grade_and_the_smallest_that_passes() -> None:
    record, verdict = statistics_record(), verdict_on_statistics()
    ungraded = markdown_from_record(record).split("## 3")[0].split("## 2")[1]
    assert "passes" not in ungraded
    graded = markdown_from_record(record, verdict).split("## 3")[0].split("## 2")[1]
    assert "**q8** (27.8 MB, 74.4% smaller) (FAIL)." in graded
    assert "- Smallest that passes: **q16** (54.6 MB, 49.8% smaller), by simulated scores." in graded
    alone = replace(verdict, variants=(verdict.variants[0], verdict.variants[3]))
    assert "passes: **q32-p50** (109.0 MB, 0.2% larger)." in markdown_from_record(record, alone)
    none = replace(verdict, variants=verdict.variants[:1])
    assert "- Smallest that passes: none." in markdown_from_record(record, none)


def test_a_baseline_alone_is_told_apart_from_nothing() -> None:
    record = statistics_record()
    assert "tell them apart" in markdown_from_record(record)
    assert "tell them apart" not in markdown_from_record(replace(record, variants=record.variants[:1]))


def test_a_verdict_that_nobody_signed_says_so() -> None:
    verdict = replace(verdict_on_statistics(), decision=Decision())
    assert "- Nobody has signed this." in verdict_section_lines(statistics_record(), verdict)
    assert "- Nobody has signed this." in decision_lines(verdict)


def test_a_verdict_without_candidates_says_so() -> None:
    verdict = verdict_on_statistics()
    baseline = replace(verdict, grade="PASS", variants=verdict.variants[:1])
    text = "\n".join(verdict_section_lines(statistics_record(), baseline))
    assert "No variant was a candidate." in text
    assert "INCONCLUSIVE" not in text


def test_the_wider_interval_is_quoted_with_its_method() -> None:
    record = statistics_record()
    text = "\n".join(interval_lines(record, 6, verdict_on_statistics()))
    (q16,), (q8,) = rows_of(text, "q16"), rows_of(text, "q8")
    assert q16[4].endswith("(D)")
    assert q8[4].endswith("(B)")
    difference = statistics_of(record, "q8").difference
    assert difference is not None
    assert q8[4].startswith(f"{difference.bootstrap.low:+.4f} to {difference.bootstrap.high:+.4f}")
    assert q8[5:] == ["may be chance", "0.0045", "INCONCLUSIVE"]
    assert rows_of("\n".join(interval_lines(record, 6)), "q8")[0][6:] == ["-", "-"]


@pytest.mark.parametrize(
    ("low", "high", "reading"),
    [
        (-0.02, -0.001, "AUC is lost"),
        (-0.02, 0.0, "may be chance"),
        (-0.02, -0.00004, "may be chance"),  # printed as +0.0000
        (0.00004, 0.02, "may be chance"),
        (0.001, 0.02, "AUC is gained"),
    ],
)
def test_a_difference_is_read_by_its_interval(low: float, high: float, reading: str) -> None:
    record = statistics_record()
    statistics = statistics_of(record, "q8")
    assert statistics.difference is not None
    interval = Interval(low, high)
    difference = replace(statistics.difference, delong=interval, bootstrap=interval)
    variant = replace(record.variants[4], statistics=replace(statistics, difference=difference))
    text = "\n".join(interval_lines(replace(record, variants=(variant,)), 6))
    assert rows_of(text, "q8")[0][5] == reading


def test_videos_and_frames_have_tables_of_their_own() -> None:
    videos, frames = rows_of("\n".join(quality_lines(statistics_record(), 7)), "q8")
    statistics = statistics_of(statistics_record(), "q8")
    assert (videos[1], frames[1]) == ("518", "1,036")
    for row, quality in ((videos, statistics.quality), (frames, statistics.frame_quality)):
        assert float(row[2]) == pytest.approx(quality.auc, abs=6e-5)
        assert row[5] == f"{100 * quality.recalls[0].true_positive_rate:.1f}%"
        assert float(row[8]) == pytest.approx(quality.log_loss, abs=6e-5)


def test_thresholds_say_where_they_come_from() -> None:
    text = "\n".join(threshold_lines(statistics_record(), 8))
    assert "64 fake and 60 real videos of validation" in text
    assert "INT8 was calibrated on these videos" in text
    assert [row[1] for row in rows_of(text, "q8")] == ["0.5", "0.47", "0.497"]
    point = statistics_of(statistics_record(), "q8").at("frozen")
    assert point is not None
    assert rows_of(text, "q8")[1][2:6] == [str(n) for n in (*vars(point.confusion).values(),)]
    unvalidated = "\n".join(threshold_lines(statistics_record(validated=False), 8))
    assert "There was no validation set" in unvalidated
    assert "Frozen" not in unvalidated
    assert len(rows_of(unvalidated, "q8")) == 1


def test_drift_tells_repaired_from_broken() -> None:
    record = statistics_record()
    text = "\n".join(drift_lines(record, 9))
    drift = statistics_of(record, "q8-p50").drift
    assert drift is not None
    (row,) = rows_of(text, "q8-p50")
    assert row[8:10] == [str(drift.flips.repaired), str(drift.flips.broken)]
    table = text.split("### Videos of q8-p50")[1].split("###")[0]
    assert table.count("**broken**") == sum(
        video.flipped and (video.score >= 0.47) != video.is_fake for video in drift.worst
    )
    assert len(re.findall(r"^\| \d+ \|", table, re.MULTILINE)) == 20
    first = drift.worst[0]
    label = "fake" if first.is_fake else "real"
    assert f"| 1 | {first.sample} | {label} | {first.baseline:.4f} | {first.score:.4f} |" in table


def test_pictures_are_left_out_where_there_are_none() -> None:
    text = "\n".join(drift_lines(replace(statistics_record(), gallery=()), 9))
    assert "Picture" not in text
    assert "gallery" not in text


def test_an_engine_that_moved_no_score_has_no_list() -> None:
    record = statistics_record()
    statistics = statistics_of(record, "q16")
    assert statistics.drift is not None
    still = replace(statistics.drift, worst=tuple(replace(v, score=v.baseline) for v in statistics.drift.worst))
    still = replace(still, sqnr_db=None, spearman=None)
    variant = replace(record.variants[1], statistics=replace(statistics, drift=still))
    text = "\n".join(drift_lines(replace(record, variants=(record.variants[0], variant)), 9))
    assert "No score moved by as much as 0.0001." in text
    (row,) = rows_of(text, "q16")
    assert (row[1], row[3]) == ("N/A", "no difference")


def test_the_worst_slices_are_listed_once_with_the_reason() -> None:
    parts = statistics_of(statistics_record(), "q8").slices
    listed = worst_slices(parts)
    assert len({(part.attribute, part.value) for part, _ in listed}) == len(listed)
    lowest = [part for part, reason in listed if "lowest AUC" in reason]
    assert [part.auc for part in lowest] == sorted(part.auc for part in parts)[:3]
    losses = sorted(part.auc_diff for part, reason in listed if "largest loss" in reason and part.auc_diff)
    assert losses == sorted(part.auc_diff for part in parts if part.auc_diff)[:3]


def test_a_slice_that_gained_is_no_loss() -> None:
    parts = [replace(part, auc_diff=0.01) for part in statistics_of(statistics_record(), "q8").slices]
    assert {reason for _, reason in worst_slices(parts)} == {"lowest AUC"}


def test_the_ladder_names_the_costliest_stage() -> None:
    text = "\n".join(ladder_lines(statistics_record(), 11))
    assert "- q8 loses most at the stage graph: -0.0157 AUC." in text
    assert [row[1] for row in rows_of(text, "q16")] == ["checkpoint", "ONNX", "graph", "engine"]
    assert rows_of(text, "q16")[0][4:] == ["-", "-", "-"]


def test_a_ladder_that_costs_nothing_names_no_stage() -> None:
    record = statistics_record()
    steps = tuple(replace(step, auc=0.97, auc_cost=0.0) for step in record.variants[1].ladder)
    flat = replace(record, variants=(replace(record.variants[1], ladder=steps),))
    assert "loses most" not in "\n".join(ladder_lines(flat, 11))
    assert "No stage costs any AUC worth printing." in ladder_lines(flat, 11)


def test_maps_are_compared_once_per_source() -> None:
    text = "\n".join(cam_lines(statistics_record(), 12))
    first, masks = rows_of(text, "p50")
    assert first[1:4] == ["q16-p50, q32-p50, q8-p50", "518", "0.913 (0.902 to 0.923)"]
    assert masks[1:] == ["340", "41.0%", "22.3%", "8.8%"]
    assert rows_of(text, "dense")[0][2] == "47.0%"


def test_without_a_baseline_only_what_needs_none_is_said() -> None:
    record = statistics_record()
    alone = [
        replace(v, statistics=replace(statistics_of(record, v.name), difference=None, drift=None))
        for v in record.variants[1:3]
    ]
    text = markdown_from_record(replace(record, variants=compared_variants(alone)))
    assert "Score Drift" not in text
    assert "auc_differences.png" not in text
    assert rows_of(text.split("## 6")[1], "q16")[0][3:] == ["N/A"] * 5


def test_figures_of_a_part_of_the_test_set_are_marked_at_the_top() -> None:
    text = markdown_from_record(replace(statistics_record(), is_partial=True))
    assert "--allow-partial" in text.split("## ")[0]
    assert "--allow-partial" not in markdown_from_record(statistics_record())


def test_digests_and_validation_set_are_in_the_provenance() -> None:
    text = "\n".join(provenance_lines(statistics_record(), 14))
    assert "- Validation set: validation, 124 videos (64 fake, 60 real); sha256 efefefefefefefef." in text
    assert f"| all | checkpoint | `{'12' * 32}` |" in text
    assert "### Digests" not in "\n".join(provenance_lines(reference_record(), 14))


@pytest.mark.parametrize(("p_value", "text"), [(0.0009, "below 0.001"), (0.001, "0.001"), (1.0, "1.000")])
def test_p_values_are_never_zero(p_value: float, text: str) -> None:
    assert p_value_text(p_value) == text


def test_shares_and_intervals_have_their_ends() -> None:
    assert proportion_text(Proportion(15, 178, Interval(0.0516, 0.1344))) == "8.4% (5.2% to 13.4%)"
    assert proportion_text(Proportion(0, 0, Interval(0.0, 1.0))) == "N/A"
    assert interval_text(Interval(0.93504, 1.0)) == "0.9350 to 1.0000"
