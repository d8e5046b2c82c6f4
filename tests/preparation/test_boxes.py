from __future__ import annotations

import csv
import hashlib
import secrets
from typing import TYPE_CHECKING

import numpy as np
import pytest

from export.errors import DataError
from preparation.boxes import BoxTable
from preparation.face import Face
from preparation.face_finders import finder_from_options

if TYPE_CHECKING:
    from pathlib import Path

FRESH = pytest.param(secrets.randbelow(1 << 32), id="fresh")
FRAME = np.zeros((4, 4, 3), dtype=np.uint8)
BOX = "video,frame,left,top,width,height\n"
POINTS = (
    "right_eye_x,right_eye_y,left_eye_x,left_eye_y,nose_x,nose_y,right_mouth_x,right_mouth_y,left_mouth_x,left_mouth_y"
)
UPRIGHT = "30,40,70,40,50,60,35,80,65,80"
EXCHANGED = "70,40,30,40,50,60,65,80,35,80"


def table(tmp_path: Path, text: str) -> BoxTable:
    path = tmp_path / "boxes.csv"
    path.write_text(text, encoding="utf-8")
    return BoxTable(path)


def corners(finder: BoxTable, video: str, index: int) -> list[float]:
    return [face.left for face in finder.faces(video, index, FRAME)]


@pytest.mark.parametrize("seed", [0, FRESH])
@pytest.mark.parametrize("edges", [False, True], ids=["sides", "edges"])
def test_reads_back_what_was_written(seed: int, edges: bool, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    written: dict[tuple[str, int], list[Face]] = {}
    path = tmp_path / "boxes.csv"
    with path.open("w", newline="", encoding="utf-8-sig") as stream:
        writer = csv.writer(stream, delimiter=str(rng.choice([",", ";", "\t"])))
        sides = ["x1", "y1", "x2", "y2"] if edges else ["left", "top", "width", "height"]
        writer.writerow(["Frame", *sides, "video", "score", *POINTS.split(",")])
        for _ in range(60):
            video, frame = f"folder/{rng.integers(5)}, no. 1", int(rng.integers(20))
            left, top, width, height = (float(n) for n in rng.uniform(1, 500, 4))
            landmarks = [(left + width * x, top + height * y) for x, y in ((0.3, 0.4), (0.7, 0.4), (0.5, 0.6))]
            landmarks += [(left + width * x, top + height * 0.8) for x in (0.35, 0.65)]
            known = bool(rng.random() < 0.7)
            face = Face(left, top, width, height, float(rng.random()), tuple(landmarks) if known else ())
            box = [left, top, left + width, top + height] if edges else [left, top, width, height]
            points = [n for point in landmarks for n in point] if known else [""] * 10
            writer.writerow([frame, *box, video, face.score, *points])
            written.setdefault((video, frame), []).append(face)
    finder = BoxTable(path)
    for (video, frame), faces in written.items():
        found = finder.faces(video, frame, FRAME)
        for one, other in zip(found, sorted(faces, key=lambda face: -face.area), strict=True):
            assert (one.left, one.top, one.score, one.landmarks) == (
                other.left,
                other.top,
                other.score,
                other.landmarks,
            )
            assert (one.width, one.height) == pytest.approx((other.width, other.height))


def test_a_frame_between_takes_the_nearest_listed_one(tmp_path: Path) -> None:
    rows = "".join(f"a/v,{frame},{frame},0,10,10\n" for frame in (0, 10, 20, 60, 70))
    finder = table(tmp_path, BOX + rows)
    expected = {
        0: [0],
        5: [0],
        6: [10],
        14: [10],
        25: [20],
        29: [20],
        30: [],
        45: [],
        50: [],
        51: [60],
        79: [70],
        80: [],
    }
    assert {index: corners(finder, "a/v", index) for index in expected} == expected


def test_where_every_frame_is_listed_a_gap_shows_no_face(tmp_path: Path) -> None:
    finder = table(tmp_path, BOX + "".join(f"a/v,{frame},{frame},0,10,10\n" for frame in (0, 1, 2, 5, 6)))
    assert [corners(finder, "a/v", index) for index in range(8)] == [[0], [1], [2], [], [], [5], [6], []]


def test_a_single_listed_frame_stands_for_itself(tmp_path: Path) -> None:
    finder = table(tmp_path, BOX + "a/v,7,1,0,10,10\n")
    assert [bool(corners(finder, "a/v", index)) for index in (0, 6, 7, 8)] == [False, False, True, False]


@pytest.mark.parametrize("header", [BOX.replace("frame,", ""), BOX])
def test_rows_without_a_frame_hold_for_all(header: str, tmp_path: Path) -> None:
    comma = "," if "frame" in header else ""
    finder = table(tmp_path, header + f"a/v,{comma}1,0,10,10\na/v,{comma}2,0,20,20\n")
    assert corners(finder, "a/v", 0) == corners(finder, "a/v", 9999) == [2, 1]


def test_a_row_without_coordinates_shows_no_face(tmp_path: Path) -> None:
    finder = table(tmp_path, BOX + "a/v,0,1,0,10,10\na/v,1,,,,\na/v,2,3,0,10,10\nb/none,,,,,\n")
    assert [corners(finder, "a/v", index) for index in range(3)] == [[1], [], [3]]
    assert corners(finder, "b/none", 5) == []


@pytest.mark.parametrize(
    ("row", "video"),
    [
        ("real/id0_1", "real/id0_1"),
        ("real/id0_1.mp4", "real/id0_1"),
        ("./Real\\ID0_1.MP4", "real/id0_1"),
        ("id0_1", "real/id0_1"),
        ("id0_1.mp4", "real/id0_1"),
        ("/data/Celeb/real/id0_1.mp4", "real/id0_1"),
        ("real/clip.v2.mp4", "real/clip.v2"),
        ("real/clip.v2", "real/clip.v2"),
        ("clip.v2", "real/clip.v2"),
        ("face.png", "real/face.png"),
    ],
)
def test_a_video_is_found_by_its_name_or_the_end_of_it(row: str, video: str, tmp_path: Path) -> None:
    finder = table(tmp_path, f"{BOX}{row},,1,0,10,10\nreal/other,,2,0,10,10\nid0_1_2,,3,0,10,10\n")
    assert corners(finder, video, 0) == [1]


def test_names_alike_are_told_apart(tmp_path: Path) -> None:
    finder = table(tmp_path, BOX + "real/a,,1,0,9,9\nfake/a,,2,0,9,9\na,,3,0,9,9\nReal/A,,4,0,9,9\n")
    assert [corners(finder, video, 0) for video in ("real/a", "fake/a", "Real/A", "other/a")] == [[1], [2], [4], [3]]


def test_a_video_that_is_not_clear_is_refused(tmp_path: Path) -> None:
    finder = table(tmp_path, BOX + "x/real/a,,1,0,9,9\ny/real/a,,2,0,9,9\nb,,3,0,9,9\n")
    with pytest.raises(DataError, match="x/real/a and y/real/a: each may be real/a; write folder/name there"):
        finder.faces("real/a", 0, FRAME)
    with pytest.raises(DataError, match="does not list the video real/c; add its rows, or one without coordinates"):
        finder.faces("real/c", 0, FRAME)
    assert corners(finder, "real/b", 0) == corners(finder, "real/b", 1) == [3]
    with pytest.raises(DataError, match=r"the rows of b in .* may stand for real/b and for fake/b"):
        finder.faces("fake/b", 0, FRAME)


def test_landmarks_whose_right_is_the_pictures_are_refused(tmp_path: Path) -> None:
    header = f"video,left,top,width,height,{POINTS}\n"
    row = "v,10,10,80,80,"
    for crossed in (EXCHANGED, "30,40,70,40,50,60,65,80,35,80", "70,40,30,40,50,60,35,80,65,80"):
        with pytest.raises(
            DataError, match=r"right and left are exchanged in 2 of 3 rows; right_eye and right_mouth are"
        ):
            table(tmp_path, header + f"{row}{UPRIGHT}\n" + f"{row}{crossed}\n" * 2)
    # Upside down is no exchange, and a face in profile may be crossed.
    table(tmp_path, header + f"{row}70,80,30,80,50,60,65,40,35,40\n" * 2 + f"{row}{EXCHANGED}\n")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", r"boxes.csv has the columns ; expected video, frame, left"),
        (BOX, "boxes.csv has no rows"),
        (BOX.replace("video", "clip") + "v,0,1,1,1,1\n", "column 'clip'; expected video, frame"),
        (
            BOX.replace("height\n", "height,x1\n"),
            "has the columns video, frame, left, top, width, height, x1; expected",
        ),
        (BOX.replace(",height", ""), "has the columns video, frame, left, top, width; expected"),
        (BOX.replace("height", "width"), "the column 'width' twice"),
        (BOX.replace("\n", ",nose_x\n"), "has the column nose_x and none right_eye_x; expected all of"),
        (BOX + "\nv,0,1,1,1\n", "boxes.csv:3: 5 fields; expected 6"),
        (BOX + ",0,1,1,1,1\n", "boxes.csv:2: no video; expected its name"),
        (BOX + "v,-1,1,1,1,1\n", "boxes.csv:2: frame '-1'; expected its number"),
        (BOX + "v,0.5,1,1,1,1\n", "boxes.csv:2: frame '0.5'; expected its number"),
        (BOX + "v,0,1,1,one,1\n", "boxes.csv:2: width is 'one'; expected a number"),
        (BOX + "v,0,nan,1,1,1\n", "boxes.csv:2: left is 'nan'; expected a number"),
        (BOX + "v,0,1,1,inf,1\n", "boxes.csv:2: width is 'inf'; expected a number"),
        (BOX + "v,0,1,,1,1\n", "boxes.csv:2: top is ''; expected a number"),
        (BOX + "v,0,1,1,0,1\n", "boxes.csv:2: the box is 0 x 1 pixels; expected a positive"),
        ("video,x1,y1,x2,y2\nv,5,5,3,9\n", "boxes.csv:2: the box is -2 x 4 pixels; expected a positive"),
        (
            BOX.replace("\n", ",score\n") + "v,0,1,1,1,1,93\n",
            "boxes.csv:2: score 93; expected a confidence from 0 to 1",
        ),
        (BOX + "v,,1,1,1,1\nv,0,1,1,1,1\n", "boxes.csv:3: v has rows with a frame and rows without"),
        (BOX + "v,0,1,1,1,1\nv,0,,,,\n", "boxes.csv:3: a frame without a face has one row without coordinates"),
        (BOX + 'v,0,1,1,1,"1\n', "boxes.csv:2: no CSV"),
        (f"video,x1,y1,x2,y2,{POINTS}\nv,0,0,9,9,1,1,2,1,,2,1,3,2,3\n", "boxes.csv:2: nose_x is ''; expected a number"),
    ],
)
def test_mistakes_are_told_with_their_line(text: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as refusal:
        table(tmp_path, text)
    assert told in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_what_is_no_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no table of boxes at"):
        finder_from_options(None, tmp_path / "boxes.csv")
    (tmp_path / "boxes.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="is not UTF-8 text"):
        finder_from_options(None, tmp_path / "boxes.csv")


def test_one_finder_is_taken_or_none(tmp_path: Path) -> None:
    path = tmp_path / "boxes.csv"
    path.write_text(BOX + "v,0,1,1,1,1\n", encoding="utf-8")
    finder = finder_from_options(None, path)
    assert finder is not None
    assert finder.name == "boxes"
    assert finder.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert finder_from_options(None, None) is None
    with pytest.raises(DataError, match="expected one of the two"):
        finder_from_options(tmp_path / "yunet.onnx", path)
