"""The record of prepared faces, and that a model gets those that it declares."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from calibration.datasets.prepared import (
    RECORD_NAME,
    WORK_FOLDER,
    PreparedRecord,
    read_prepared,
    require_as_declared,
    require_prepared_alike,
    write_prepared,
)
from calibration.samples import FacelessVideo, SampleSet
from export.errors import DataError
from export.face_contract import FaceContract, VideoContract
from tests.detectors import contract_for_tests

if TYPE_CHECKING:
    from pathlib import Path

FACES = FaceContract(margin=0.25, choice="all", min_area=0.5)
RECORD = PreparedRecord(
    faces=FACES,
    frames=16,
    detector="yunet",
    detector_sha256="ab" * 32,
    videos=3,
    faceless=(FacelessVideo("fake/a.mp4", True, ("id0", "id1"), (("kind", "swap"),), "test"),),
    failed=(("real/b.mp4", "it is empty"),),
    notes=("a file is there twice",),
)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    assert read_prepared(tmp_path) is None
    write_prepared(tmp_path, RECORD)
    assert read_prepared(tmp_path) == RECORD


def test_work_without_a_record_is_not_complete(tmp_path: Path) -> None:
    (tmp_path / WORK_FOLDER).mkdir()
    with pytest.raises(DataError, match="is not complete: prepare-data was interrupted or has failed there"):
        read_prepared(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        "null",
        '{"faces": {}, "frames": "many", "detector": "x", "detector_sha256": "", "videos": 1}',
        '{"faces": {"margin": 9}, "frames": 1, "detector": "x", "detector_sha256": "", "videos": 1}',
        '{"faces": {}, "frames": 1, "detector": "x", "detector_sha256": "", "videos": 1, "failed": [["a"]]}',
        '{"faces": {}, "frames": 1, "detector": "x", "detector_sha256": "", "videos": 1, "more": 1}',
    ],
)
def test_a_damaged_record_is_one_line(text: str, tmp_path: Path) -> None:
    (tmp_path / RECORD_NAME).write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=r"prepared\.json is damaged .*run prepare-data again") as caught:
        read_prepared(tmp_path)
    assert "\n" not in str(caught.value)


def test_faces_as_declared_pass(tmp_path: Path) -> None:
    contract = contract_for_tests(faces=FACES, video=VideoContract(frames=16, aggregation="max"))
    require_as_declared(SampleSet(tmp_path, ()), contract)  # others' faces: nobody knows how they were cut out
    write_prepared(tmp_path, RECORD)
    require_as_declared(SampleSet(tmp_path, ()), contract)
    require_as_declared(SampleSet(tmp_path, ()), replace(contract, faces=replace(FACES, no_face="half")))
    require_as_declared(SampleSet(tmp_path, ()), contract_for_tests())


@pytest.mark.parametrize(
    ("setting", "value", "expected"),
    [
        ("margin", 0.3, "faces.margin = 0.25 where the model file declares 0.3"),
        ("shape", "box", "faces.shape = 'square' where the model file declares 'box'"),
        ("aligned", True, "faces.aligned = False where the model file declares True"),
        ("outside", "cut", "faces.outside = 'black' where the model file declares 'cut'"),
        ("choice", "largest", "faces.choice = 'all' where the model file declares 'largest'"),
        ("min_score", 0.9, "faces.min_score = 0.6 where the model file declares 0.9"),
        ("min_area", 0.0, "faces.min_area = 0.5 where the model file declares 0.0"),
    ],
)
def test_each_setting_must_agree(setting: str, value: object, expected: str, tmp_path: Path) -> None:
    write_prepared(tmp_path, RECORD)
    faces = replace(FACES, **{setting: value})  # type: ignore[arg-type]
    contract = contract_for_tests(faces=faces, video=VideoContract(frames=16))
    with pytest.raises(DataError) as caught:
        require_as_declared(SampleSet(tmp_path, ()), contract)
    assert f"{tmp_path} was prepared with {expected}; run: prepare-data SRC {tmp_path} --model" in str(caught.value)
    # Where frames were taken as faces, nobody knows how they were cut out.
    write_prepared(tmp_path, replace(RECORD, detector="none"))
    require_as_declared(SampleSet(tmp_path, ()), contract)


def test_the_number_of_frames_must_agree(tmp_path: Path) -> None:
    write_prepared(tmp_path, RECORD)
    contract = contract_for_tests(faces=replace(FACES, margin=0.1), video=VideoContract(frames=32))
    expected = "video.frames = 16 where the model file declares 32, faces.margin = 0.25 where"
    with pytest.raises(DataError, match=expected):
        require_as_declared(SampleSet(tmp_path, ()), contract)


def test_sets_must_be_cut_out_alike(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for folder in (one, two):
        folder.mkdir()
    write_prepared(one, RECORD)
    require_prepared_alike(one, two)  # others' faces
    fewer = replace(RECORD, frames=4, videos=1, faceless=(), faces=replace(FACES, no_face="half"))
    write_prepared(two, fewer)
    require_prepared_alike(one, two)
    write_prepared(two, replace(fewer, detector="none", faces=FaceContract()))
    require_prepared_alike(one, two)
    write_prepared(two, replace(fewer, faces=replace(FACES, margin=0.5, aligned=True)))
    with pytest.raises(DataError, match=r"faces\.margin = 0\.25 and 0\.5, faces\.aligned = False and True; prepare"):
        require_prepared_alike(one, two)
    write_prepared(two, replace(fewer, detector_sha256="cd" * 32))
    with pytest.raises(DataError, match="two versions of YuNet"):
        require_prepared_alike(one, two)
    tables = replace(fewer, detector="boxes")
    write_prepared(one, tables)
    write_prepared(two, replace(tables, detector_sha256="cd" * 32))
    require_prepared_alike(one, two)
