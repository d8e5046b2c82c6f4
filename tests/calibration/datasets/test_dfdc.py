from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from calibration.datasets.dataset import media_from_path, samples_from_path
from export.errors import DataError
from tests.calibration.datasets.trees import by_name, write_file, write_files, write_json_file

if TYPE_CHECKING:
    from pathlib import Path

REAL = {"label": "REAL", "split": "train", "original": None}


def fake_of(original: str) -> dict[str, Any]:
    return {"label": "FAKE", "split": "train", "original": f"{original}.mp4"}


def test_parts_with_metadata(tmp_path: Path) -> None:
    write_files(tmp_path, "dfdc_train_part_0/aa.mp4", "dfdc_train_part_0/bb.mp4", "dfdc_train_part_0/stray.mp4")
    write_files(tmp_path, "dfdc_train_part_01/dfdc_train_part_1/cc/000.png", "dfdc_train_part_2/videos/dd.MP4")
    entries = {"aa.mp4": fake_of("bb"), "bb.mp4": REAL, "gone.mp4": REAL}
    write_json_file(tmp_path / "dfdc_train_part_0/metadata.json", entries)
    write_json_file(tmp_path / "dfdc_train_part_01/dfdc_train_part_1/metadata.json", {"cc.mp4": {"label": "REAL"}})
    write_json_file(tmp_path / "dfdc_train_part_2/metadata.json", {"dd.mp4": {"is_fake": 1}})
    found = media_from_path(tmp_path)
    assert found.layout == "dfdc"
    assert {m.video: (m.is_fake, m.identities, m.split, m.attributes) for m in found.media} == {
        "dfdc_train_part_0/aa": (True, ("bb",), "train", (("part", "dfdc_train_part_0"),)),
        "dfdc_train_part_0/bb": (False, ("bb",), "train", (("part", "dfdc_train_part_0"),)),
        "dfdc_train_part_1/cc": (False, ("cc",), "", (("part", "dfdc_train_part_1"),)),
        "dfdc_train_part_2/dd": (True, ("dd",), "", (("part", "dfdc_train_part_2"),)),
    }
    assert [image.path.name for image in by_name(found)["dfdc_train_part_1/cc"].images] == ["000.png"]
    assert found.notes == (
        "labelled videos that are not there: 1, such as dfdc_train_part_0/gone",
        "videos left out for lack of a label: 1, such as dfdc_train_part_0/stray",
    )


def test_one_part_and_a_table_of_labels(tmp_path: Path) -> None:
    root = write_files(tmp_path / "test_videos", "aa.mp4", "bb.mp4")
    write_file(root / "labels.csv", "\ufefffilename,label\r\naa.mp4,1\r\nbb.mp4,0\r\n")
    found = media_from_path(root)
    assert [(m.video, m.is_fake) for m in found.media] == [("test_videos/aa", True), ("test_videos/bb", False)]
    assert found.notes == ()
    assert media_from_path(tmp_path).media == found.media


@pytest.mark.parametrize(
    ("metadata", "labels", "message"),
    [
        ({"aa.mp4": {"label": "MAYBE"}}, "", "metadata.json: aa.mp4: label 'MAYBE'; expected FAKE or REAL"),
        ({"bb.mp4": REAL, "aa.mp4": "FAKE"}, "", "says 'FAKE' of aa.mp4; expected an object"),
        ({"aa.mp4": {"label": "FAKE", "original": 3}}, "", "split or original of aa.mp4 is no text"),
        ({"aa.mp4": REAL}, "filename,label\naa.mp4,1\n", "metadata.json and labels.csv disagree on aa"),
        (None, "filename,label\naa.mp4,2\n", r"labels.csv:2: label '2'; expected"),
        (None, "filename,label\naa.mp4,1\naa.mp4,0\n", r"labels.csv:3: aa.mp4 has two labels"),
        (None, "filename,label\naa.mp4,1,x\n", r"labels.csv:2: 3 fields"),
        (None, 'filename,label\n"aa.mp4,1\n', r"labels.csv is no CSV file"),
    ],
)
def test_labels_that_contradict_or_say_nothing_are_refused(
    metadata: object, labels: str, message: str, tmp_path: Path
) -> None:
    root = write_files(tmp_path, "aa.mp4", "bb.mp4")
    if metadata is not None:
        write_json_file(root / "metadata.json", metadata)
    if labels:
        write_file(root / "labels.csv", labels)
    with pytest.raises(DataError, match=message):
        media_from_path(root)


def test_parts_that_are_all_for_training_are_tested_on_request(tmp_path: Path) -> None:
    root = write_files(tmp_path, "aa/0.png", "bb/0.png")
    write_json_file(root / "metadata.json", {"aa.mp4": fake_of("bb"), "bb.mp4": REAL})
    with pytest.raises(DataError, match="no test split but only train; pass --test-split with one of train, all"):
        samples_from_path(root, "test")
    assert len(samples_from_path(root, "test", "train").samples) == 2


def test_other_files_of_these_names_make_no_data_set(tmp_path: Path) -> None:
    root = write_files(tmp_path, "aa.mp4", "metadata.json")
    write_file(root / "labels.csv", "path,label\n")
    with pytest.raises(DataError, match="no layout that is known"):
        media_from_path(root)
