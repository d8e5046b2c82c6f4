"""What both reports say of the data: frames to video, videos without a face, lookalikes, notes of the reader."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, get_args

import pytest

from evaluate.aggregation_text import AGGREGATION_NAMES, aggregation_sentences
from evaluate.facts import DatasetFacts, LookalikeFacts, LookalikePair
from evaluate.page.page import page_from_record
from evaluate.record import ReportRecord
from evaluate.sections.markdown import markdown_from_record
from evaluate.summary import summary_from_record
from evaluate.verdict.changes import cautions_between, changes_between
from evaluate.verdict.report_folder import StoredReport
from export.face_contract import Aggregation
from tests.evaluate.page.page_parts import PageParts
from tests.evaluate.page.page_reference import page_record

if TYPE_CHECKING:
    from pathlib import Path

ALIKE = LookalikeFacts("calibration", 256, 7, (LookalikePair("Celeb-real/<i>a</i>/0.png", "b/1.png", 0.98765),))
GONE = LookalikeFacts("validation", 0, 0, lack="the images are not at /data")
FACELESS = {"faceless_fakes": ("f/a|b.mp4", "f/c.mp4"), "faceless_reals": ("r/<d>.mp4",)}


@pytest.fixture(scope="module")
def record() -> ReportRecord:
    plain = page_record(24, 16)
    dataset = replace(plain.dataset, **FACELESS, no_face="half", faces=99, split="val", notes=("2 videos <twice>",))
    return replace(plain, dataset=dataset, aggregation="confident", lookalikes=(ALIKE, GONE))


def test_both_reports_and_the_summary_say_it(record: ReportRecord, tmp_path: Path) -> None:
    text = markdown_from_record(record)
    parts = PageParts(page_from_record(record, None, tmp_path))
    page, summary = " ".join(parts.shown.split()), summary_from_record(record)
    for told in (
        "A video's score is the mean of its confident frames' fake probabilities (confident).",
        "Confident are the frames above 0.8 if they are more than 11 and more than 40%, else those below 0.2",
        "Of several faces in a frame, the one that scores highest is the frame's.",
        "The model file declares mean-probability; --aggregation replaced it.",
        "with 99 faces",
        "split val",
        "Whether validation images look like test images was not checked: the images are not at /data.",
        "Lookalikes: 256 calibration images were compared with all test images, 7 pairs look like one picture",
    ):
        assert told in text
        assert told in page
    for told in (
        "videos are scored by confident, which --aggregation put in the place of the mean-probability of the model",
        "no face was found in 3 videos (2 fake, 1 real), which are scored 0.5 by every model alike; the AUC and every",
        "7 pairs of a calibration and a test image look like one picture, which --accept-lookalikes let pass",
    ):
        assert f"**Warning:** {told}" in text
        assert told in page
        assert f"warning: {told}" in summary
    # Names are text in both.
    assert "f/a|b.mp4, f/c.mp4, r/<d>.mp4" in page
    assert "2 videos <twice>" in page
    assert "Celeb-real/<i>a</i>/0.png and b/1.png (0.988)" in page
    assert not any(mark in text for mark in ("<i>", "<d>", "<twice>", "a|b"))


def test_without_any_of_it_nothing_is_said(tmp_path: Path) -> None:
    record = page_record(24, 16)
    text, page = markdown_from_record(record), PageParts(page_from_record(record, None, tmp_path)).shown
    for mark in ("face was found", "No face found", "Lookalikes", "look like", "--aggregation", "Note on the test set"):
        assert mark not in text
        assert mark not in page
    assert "A video's score is the mean of its frames' fake probabilities (mean-probability)." in page


@pytest.mark.parametrize("aggregation", get_args(Aggregation))
def test_every_aggregation_has_words(aggregation: Aggregation, record: ReportRecord) -> None:
    declared = replace(record, aggregation=aggregation, declared_aggregation=aggregation)
    assert AGGREGATION_NAMES[aggregation] in aggregation_sentences(declared)
    assert "--aggregation" not in aggregation_sentences(declared)
    assert ("of the largest score" in markdown_from_record(declared)) == (aggregation == "max")


def test_reports_are_compared_by_it(record: ReportRecord, tmp_path: Path) -> None:
    before = StoredReport(tmp_path / "a", page_record(24, 16), "", None)
    after = StoredReport(tmp_path / "b", record, "", None)
    told = {change.name: (change.before, change.after) for change in changes_between(before, after)}
    assert told["frames to video"] == ("mean-probability", "confident")
    assert told["split"] == ("for testing", "val")
    assert told["videos without a face"][0] == "none"
    assert told["videos without a face"][1].startswith("3 videos (2 fake, 1 real)")
    assert any("mean-probability in A and confident in B" in caution for caution in cautions_between(before, after))
    assert not any("in A and" in caution for caution in cautions_between(after, after))


def test_the_record_reads_back(record: ReportRecord) -> None:
    assert ReportRecord.from_json(record.to_json()) == record
    assert DatasetFacts("r", "0", 1, 2, 3, faceless_fakes=("a",), faceless_reals=("b", "c")).faceless == 3
