from __future__ import annotations

import base64
import hashlib
import json
import re
from configparser import ConfigParser
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from evaluate.comparison import compared_variants
from evaluate.page import page
from evaluate.page.page import page_from_record, write_page
from evaluate.page.page_warnings import PARTIAL_DATA
from evaluate.sections.markdown import markdown_from_record
from evaluate.verdict.limits import Limits, LimitsFile
from tests.evaluate.latency_reference import latency_reference_record
from tests.evaluate.page.page_parts import PageParts
from tests.evaluate.page.page_reference import (
    HOSTILE,
    HOSTILE_NAMES,
    draw_face,
    page_record,
    page_verdict,
    with_gallery,
)
from tests.evaluate.pruning_reference import pruning_reference_record
from tests.evaluate.reference import reference_record
from tests.evaluate.statistics_reference import statistics_record, verdict_on_statistics

if TYPE_CHECKING:
    from evaluate.record import ReportRecord

ROOT = Path(__file__).parents[3]


def small_record(names: tuple[str, ...] = ()) -> ReportRecord:
    return page_record(40, 40, names, variants=4)


def parts_of(record: ReportRecord, folder: Path, graded: bool = True) -> PageParts:
    return PageParts(page_from_record(record, page_verdict(record) if graded else None, folder))


def test_names_of_videos_and_of_everything_else_are_text(tmp_path: Path) -> None:
    record = small_record(HOSTILE_NAMES)
    record = replace(
        record,
        backbone=HOSTILE,
        warnings=("</script><script>alert(2)</script>",),
        environment={HOSTILE: '"><b onclick=x>'},
        dataset=replace(record.dataset, root="</title><script>"),
    )
    text = page_from_record(record, page_verdict(record), tmp_path)
    parts = PageParts(text)
    assert [tag for tag, _ in parts.tags].count("script") == 3
    assert not [a for _, attributes in parts.tags for a in attributes if a.startswith("on")]
    assert "alert(" not in re.sub(r"(?s)<script.*?</script>", "", text).replace("&lt;script&gt;alert(", "")
    assert json.loads(parts.block("data"))["videos"][: len(HOSTILE_NAMES)] == list(HOSTILE_NAMES)
    assert HOSTILE in parts.shown
    assert "{{" not in parts.shown


def test_data_blocks_hold_nothing_that_ends_or_hides_a_script(tmp_path: Path) -> None:
    parts = parts_of(small_record(HOSTILE_NAMES), tmp_path)
    for identifier in ("data", "images"):
        assert not set("<>&\u2028\u2029") & set(parts.block(identifier))


def test_names_that_are_no_unicode_can_be_written(tmp_path: Path) -> None:
    record = small_record(("caf\udce9.mp4",))
    write_page(tmp_path / "report.html", replace(record, architecture="b5\udce9"), page_verdict(record))
    assert "b5?" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_page_loads_nothing(tmp_path: Path) -> None:
    record = with_gallery(small_record(), tmp_path, 3)
    text = page_from_record(record, page_verdict(record), tmp_path)
    assert "http" not in text.replace("http-equiv", "")
    assert "@import" not in text
    assert "url(" not in text
    parts = PageParts(text)
    for _, attributes in parts.tags:
        for name in ("src", "href", "xlink:href", "action", "srcset", "data"):
            assert (attributes.get(name) or "#").startswith(("#", "data:")), attributes
    assert {tag for tag, _ in parts.tags}.isdisjoint({"link", "iframe", "object", "embed", "base", "audio", "video"})


def test_policy_allows_the_embedded_style_and_script_alone(tmp_path: Path) -> None:
    parts = parts_of(small_record(), tmp_path)
    policy = next(a["content"] or "" for t, a in parts.tags if t == "meta" and a.get("http-equiv"))
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == "data:"
    for tag, directive in (("script", "script-src"), ("style", "style-src")):
        (text,) = [text for name, attributes, text in parts.raw if name == tag and "type" not in attributes]
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert rules[directive] == f"'sha256-{digest}'"
    assert not [attributes for _, attributes in parts.tags if "style" in attributes]


def test_equal_pictures_are_embedded_once_and_large_ones_scaled_down(tmp_path: Path) -> None:
    record = with_gallery(small_record(), tmp_path, 3, side=900)
    shared = [replace(sample, heatmaps=dict.fromkeys(sample.heatmaps, sample.picture)) for sample in record.gallery]
    parts = parts_of(replace(record, gallery=tuple(shared)), tmp_path)
    images = json.loads(parts.block("images"))
    assert len(images) == 3
    assert all(len(uri) < 20_000 for uri in images.values())
    gallery = json.loads(parts.block("data"))["gallery"]
    assert {key for entry in gallery for _, key in entry["heatmaps"]} == set(images)


def test_size_stays_bounded_for_a_whole_test_set(tmp_path: Path) -> None:
    record = page_record()
    text = page_from_record(record, page_verdict(record), tmp_path)
    assert len(text) < 400_000
    with_pictures = with_gallery(record, tmp_path, 20, side=300)
    pictures = sum(1 + len(sample.heatmaps) for sample in with_pictures.gallery)
    grown = page_from_record(with_pictures, page_verdict(record), tmp_path)
    assert len(text) < len(grown) < len(text) + pictures * 15_000


def test_pictures_that_cannot_be_read_are_left_out_and_counted(tmp_path: Path) -> None:
    record = with_gallery(small_record(), tmp_path, 2)
    (tmp_path / "text.jpg").write_text("<svg onload=alert(1)>")
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "half.jpg").write_bytes((tmp_path / record.gallery[0].picture).read_bytes()[:900])
    paths = {"a": "absent.jpg", "b": "text.jpg", "c": "folder.jpg", "d": "half.jpg", "e": "\0.jpg"}
    broken = replace(record.gallery[0], heatmaps=paths)
    parts = parts_of(replace(record, gallery=(broken, record.gallery[1])), tmp_path)
    assert "5 pictures could not be read and are left out" in parts.shown
    first = json.loads(parts.block("data"))["gallery"][0]
    assert first["picture"]
    assert first["heatmaps"] == []
    assert "could not be read" not in parts_of(record, tmp_path).shown


def test_heatmaps_of_the_most_telling_samples_stand_in_for_a_gallery(tmp_path: Path) -> None:
    folder = tmp_path / "report"
    record = reference_record()
    samples = [sample for variant in record.variants for found in variant.samples.values() for sample in found]
    for index, path in enumerate(sorted({sample.heatmap for sample in samples if sample.heatmap})):
        draw_face(folder / path, index, 1, side=48)
    parts = parts_of(record, folder, graded=False)
    data = json.loads(parts.block("data"))
    assert set(data["videos"]) == {sample.sample for sample in samples}
    first = next(entry for entry in data["gallery"] if data["videos"][entry["video"]] == "id46_id41_0000.mp4")
    assert [source for source, _ in first["heatmaps"]] == ["dense", "p50"]
    assert data["variants"][0]["scores"][data["videos"].index("id29_id32_0000.mp4")] == 0.0304
    assert not any(variant["complete"] for variant in data["variants"])


def test_verdict_is_a_word_with_reasons_and_next_steps(tmp_path: Path) -> None:
    record = page_record()
    verdict = page_verdict(record)
    shown = " ".join(parts_of(record, tmp_path).shown.split())
    assert f"FAIL {sum(v.grade == 'PASS' for v in verdict.variants)} of 7 candidates pass" in shown
    for variant in verdict.variants:
        for finding in variant.findings:
            assert finding.reason in shown
            assert finding.next_step in shown
    assert shown.count("Waived for ") == 1
    assert "Waived: the <flips> are repairs" in shown
    assert "Only q16 goes to the field <now>." in shown


@pytest.mark.parametrize("grade", ["PASS", "FAIL", "INCONCLUSIVE"])
def test_each_grade_has_a_word_an_icon_and_a_class(tmp_path: Path, grade: str) -> None:
    record = small_record()
    verdict = replace(page_verdict(record), grade=grade)  # type: ignore[arg-type]  # one of the three
    parts = PageParts(page_from_record(record, verdict, tmp_path))
    banner = next(attributes for _, attributes in parts.tags if attributes.get("id") == "verdict")
    assert banner["class"] == f"banner {grade.lower()}"
    assert ("use", {"href": f"#grade-{grade.lower()}"}) in parts.tags
    assert ("symbol", f"grade-{grade.lower()}") in [(tag, a.get("id")) for tag, a in parts.tags]
    assert f"{grade}: Engine sign-off" in parts.shown


def test_figures_are_those_of_the_record(tmp_path: Path) -> None:
    record = page_record()
    shown = parts_of(record, tmp_path).shown
    for variant in record.variants:
        assert f"{variant.auc:.4f}" in shown
        assert f"{variant.size_mib:.2f}" in shown
        found = variant.statistics
        assert found
        assert f"{found.auc.quoted.low:.4f} to {found.auc.quoted.high:.4f}" in shown
        for digest in variant.digests.values():
            assert digest in shown


@pytest.mark.parametrize(
    "record",
    [
        reference_record(simulated=True),
        latency_reference_record(),
        pruning_reference_record(),
        replace(small_record(), is_partial=True, validation=None, calibration=None, heatmap_limit=None),
        replace(small_record(), variants=compared_variants(small_record().variants[1:])),
        replace(small_record(), variants=small_record().variants[:1]),
    ],
    ids=["reference", "latency", "pruning", "partial", "no baseline", "baseline alone"],
)
def test_whatever_was_not_measured_is_left_out(tmp_path: Path, record: ReportRecord) -> None:
    parts = parts_of(record, tmp_path, graded=False)
    assert "Not graded" in parts.shown
    assert ("Nothing should be signed off by them." in parts.shown) == record.is_partial
    assert [tag for tag, _ in parts.tags].count("script") == 3


def test_partial_data_is_said_as_strongly_as_in_the_text_report(tmp_path: Path) -> None:
    record = replace(small_record(), is_partial=True)
    verdict = page_verdict(record)
    shown = PageParts(page_from_record(record, verdict, tmp_path)).shown
    assert shown.count(PARTIAL_DATA) == 1
    assert "Nothing should be signed off by them." in markdown_from_record(record, verdict)
    assert shown.count("(partial data)") == 2 + 2 * sum(entry.is_candidate for entry in verdict.variants)


def test_simulated_and_waived_passes_are_no_plain_ones(tmp_path: Path) -> None:
    record = page_record()
    kept = tuple(variant for variant in record.variants if variant.name in ("baseline", "q8w", "q16-s50"))
    record = replace(record, variants=kept)
    limits = LimitsFile(common=Limits(max_auc_drop=0.03, max_flips=0.05))
    page_text = page_from_record(record, page_verdict(record, limits), tmp_path)
    shown = " ".join(PageParts(page_text).shown.split())
    assert shown.startswith("PASS (simulated): Engine sign-off")
    assert "2 of 2 candidates pass (1 by simulated scores, 1 with a waiver). The smallest that passes is" in shown
    assert "AUC 0.9461 (with a waiver). Waived for q16-s50: Flipped decisions (FAIL), because: the <flips>" in shown
    assert (
        shown.count("PASS (simulated)") == 5
    )  # in the title, the banner twice, with what it means, and per variant twice
    opened = [a["id"] for tag, a in PageParts(page_text).tags if tag == "details" and "open" in a]
    assert opened == ["finding-1"]
    after_waiver = page_text.partition('class="waived"')[2].partition("</td>")[0]
    assert "Next:" not in after_waiver


def test_what_is_no_candidate_has_no_grade(tmp_path: Path) -> None:
    record = page_record()
    limits = LimitsFile(common=Limits(max_size_mib=60.0), candidates=("q16",))
    text = page_from_record(record, page_verdict(record, limits), tmp_path)
    shown = " ".join(PageParts(text).shown.split())
    assert "baselinereferencethe verdict does not depend on it" in shown
    assert "q32-p50no candidatethe verdict does not depend on it" in shown
    assert "FAIL" not in shown
    assert "missed" in shown


def test_thresholds_of_counts_are_named(tmp_path: Path) -> None:
    record = page_record()
    shown = " ".join(parts_of(record, tmp_path).shown.split())
    assert "Flips and false alarms are counted at 0.5237, the threshold frozen on the validation set." in shown
    assert "Broken, repaired and McNemar's p are those at 0.5237, the frozen threshold, wherever" in shown
    assert "Missed fakes and false alarms are those at 0.5237, wherever" in shown
    assert "Change, flips (other decisions at the threshold 0.5237) and SQNR are against the stage before." in shown


def test_ladder_and_maps_are_told_as_in_the_text_report(tmp_path: Path) -> None:
    record = statistics_record()
    text = page_from_record(record, verdict_on_statistics(record), tmp_path)
    reported = markdown_from_record(record).replace("**", "")
    for section, label in (("ladder", "Stages from"), ("cam", "Maps against masks")):
        part = text.partition(f'<section id="{section}"')[2].partition(f'aria-label="{label}')[2]
        rows = re.findall(r"(?s)<tr>(.*?)</tr>", part.partition("</table>")[0])
        cells = [
            [" ".join(PageParts(c).shown.split()) for c in re.findall(r"(?s)<t[hd].*?</t[hd]>", row)] for row in rows
        ]
        assert len(cells) > 2
        for row in cells:
            # A model's name spans the rows of its stages.
            assert f"| {' | '.join(row)} |".replace("–", "-") in reported, row
    (agreement,) = {variant.cam_agreement for variant in record.variants if variant.cam_agreement}
    assert f"<td>{agreement.overlap:.3f}<small>" in text


def test_page_is_the_same_bytes_each_time(tmp_path: Path) -> None:
    record = with_gallery(small_record(), tmp_path, 2)
    verdict = page_verdict(record)
    for name in ("a.html", "b.html"):
        write_page(tmp_path / name, record, verdict)
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_limits_of_all_and_of_single_variants_are_listed(tmp_path: Path) -> None:
    record = small_record()
    shown = parts_of(record, tmp_path).shown
    assert "≤ 60 MiB" in shown
    assert "R. Miller" in shown
    unsigned = replace(page_verdict(record, LimitsFile()), decision=type(page_verdict(record).decision)())
    assert "Not signed." in PageParts(page_from_record(record, unsigned, tmp_path)).shown


def test_every_file_of_the_page_is_packed_and_used() -> None:
    folder = ROOT / "evaluate" / "page"
    config = ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    patterns = config["options.package_data"]["evaluate.page"].split(", ")
    found = {path.name for path in folder.iterdir() if path.is_file() and path.suffix != ".py"}
    assert {name for name in found if any(fnmatch(name, pattern) for pattern in patterns)} == found
    assert {name for name in found if name.endswith(".js")} == set(page._SCRIPTS)


def test_scripts_make_elements_from_text_alone() -> None:
    for name in page._SCRIPTS:
        text = page._package_text(name)
        for risky in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function(", "fetch("):
            assert risky not in text
