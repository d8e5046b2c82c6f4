"""From videos to a data set of faces: what is cut out, what is kept, and what is told."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from calibration.datasets.dataset import samples_from_path
from calibration.datasets.prepared import read_prepared
from export.errors import DataError
from export.face_contract import FaceContract
from export.model_file import contract_from_toml
from tests.preparation.face_videos import CUT, FaceVideos, first_number, frame_with_face, tree_digest, write_face_videos
from tests.preparation.numbered_video import HEIGHT, WIDTH, number_of, numbered_frame, write_numbered

if TYPE_CHECKING:
    from pathlib import Path

NAMES = (
    "Celeb-real/id0_0000.mp4",
    "Celeb-real/id1_0000.mp4",
    "YouTube-real/00007.mp4",
    "Celeb-synthesis/id0_id1_0000.mp4",
    "Celeb-synthesis/id2_id3_0000.mp4",
)
TAKEN = [0, 3, 7, 11]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> FaceVideos:
    folder = tmp_path_factory.mktemp("videos")
    case = write_face_videos(folder, NAMES)
    lines = "1 YouTube-real/00007.mp4\n0 Celeb-synthesis/id2_id3_0000.mp4\n"
    (case.source / "List_of_testing_videos.txt").write_text(lines, encoding="utf-8")
    return case


@pytest.fixture
def case(original: FaceVideos, tmp_path: Path) -> FaceVideos:
    """Gives every test a copy of its own."""
    source = shutil.copytree(original.source, tmp_path / "videos")
    return FaceVideos(source, shutil.copy(original.boxes, tmp_path / "boxes.csv"), tmp_path / "faces")


def mtimes(root: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in sorted(root.rglob("*.png"))}


def picture(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def test_every_crop_is_the_face_of_its_frame(case: FaceVideos) -> None:
    assert case.prepare() == 0
    for name in NAMES:
        crops = sorted((case.out / name.removesuffix(".mp4")).iterdir())
        assert [crop.name for crop in crops] == [f"{index:06d}.png" for index in TAKEN]
        for index, crop in zip(TAKEN, crops, strict=True):
            pixels, number = picture(crop), first_number(NAMES, name) + index
            assert pixels.shape == (HEIGHT, WIDTH, 3)
            assert number_of(pixels) == number
            assert np.abs(pixels.astype(int) - numbered_frame(number)).mean() < 6


def test_labels_identities_and_splits_survive(case: FaceVideos) -> None:
    case.prepare()
    samples = samples_from_path(case.out, "test", "all")
    assert {sample.video for sample in samples.samples} == set(NAMES)
    assert len(samples.samples) == len(TAKEN) * len(NAMES)
    assert all(sample.is_fake == ("synthesis" in sample.video) for sample in samples.samples)
    people = {sample.video: sample.identities for sample in samples.samples}
    assert people["Celeb-synthesis/id0_id1_0000.mp4"] == ("id0", "id1")
    assert {s.video for s in samples_from_path(case.out, "test").samples} == {NAMES[2], NAMES[4]}
    assert {s.video for s in samples_from_path(case.out, "calibration").samples} == {NAMES[0], NAMES[1], NAMES[3]}


def test_one_split_is_taken_where_it_is_named(case: FaceVideos) -> None:
    assert case.prepare("--split", "test") == 0
    assert samples_from_path(case.out, "test", "all").videos == {NAMES[2], NAMES[4]}


def test_an_unknown_split_is_named(case: FaceVideos, capsys: pytest.CaptureFixture[str]) -> None:
    assert case.prepare("--split", "holdout") == 2
    assert "no videos of split 'holdout'; its splits: test, train" in capsys.readouterr().err
    assert not case.out.exists()


def test_the_number_of_workers_changes_nothing(case: FaceVideos, tmp_path: Path) -> None:
    other = FaceVideos(case.source, case.boxes, tmp_path / "others")
    assert case.prepare("--workers", "1") == other.prepare("--workers", "5") == 0
    assert tree_digest(case.out) == tree_digest(other.out)


def test_what_is_unchanged_is_left_alone(case: FaceVideos, capsys: pytest.CaptureFixture[str]) -> None:
    case.prepare()
    before, times = tree_digest(case.out), mtimes(case.out)
    assert "5 videos made, 0 reused" in capsys.readouterr().out
    assert case.prepare() == 0
    assert "0 videos made, 5 reused" in capsys.readouterr().out
    assert (tree_digest(case.out), mtimes(case.out)) == (before, times)


@pytest.mark.parametrize(
    "options", [("--frames", "3"), ("--margin", "0.25"), ("--shape", "square"), ("--choice", "all")]
)
def test_another_setting_makes_all_crops_again(
    case: FaceVideos, options: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case.prepare()
    capsys.readouterr()
    assert case.prepare(*options) == 0
    assert "5 videos made, 0 reused" in capsys.readouterr().out
    fresh = FaceVideos(case.source, case.boxes, tmp_path / "fresh")
    fresh.prepare(*options)
    assert tree_digest(case.out) == tree_digest(fresh.out)


def test_another_policy_without_faces_makes_none_again(case: FaceVideos, capsys: pytest.CaptureFixture[str]) -> None:
    case.prepare()
    assert case.prepare("--no-face", "half") == 0
    assert "0 videos made, 5 reused" in capsys.readouterr().out
    record = read_prepared(case.out)
    assert record is not None
    assert record.faces == FaceContract(margin=0.0, shape="box", no_face="half")


def test_a_changed_video_is_made_again(case: FaceVideos, capsys: pytest.CaptureFixture[str]) -> None:
    case.prepare()
    shutil.copy(case.video(NAMES[1]), case.video(NAMES[0]))
    assert case.prepare() == 0
    assert "1 videos made, 4 reused" in capsys.readouterr().out


def test_other_boxes_make_all_again(case: FaceVideos, capsys: pytest.CaptureFixture[str]) -> None:
    case.prepare()
    case.boxes.write_text(case.boxes.read_text(encoding="utf-8") + "other.mp4,,1,1,9,9\n", encoding="utf-8")
    assert case.prepare() == 0
    assert "5 videos made, 0 reused" in capsys.readouterr().out


@pytest.mark.parametrize("damage", ["changed", "missing", "record"])
def test_crops_that_are_not_what_was_made_are_made_again(
    case: FaceVideos, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    case.prepare()
    before = tree_digest(case.out)
    crop = case.out / "Celeb-real/id0_0000/000003.png"
    if damage == "changed":
        Image.new("RGB", (WIDTH, HEIGHT)).save(crop)
    elif damage == "missing":
        crop.unlink()
    else:
        records = [path for path in (case.out / ".prepared/videos").iterdir() if NAMES[0] in path.read_text("utf-8")]
        records[0].write_text("{}", encoding="utf-8")
        shutil.rmtree(crop.parent)
    assert case.prepare() == 0
    assert "1 videos made, 4 reused" in capsys.readouterr().out
    assert tree_digest(case.out) == before


def test_videos_that_are_gone_lose_their_crops_and_nothing_else_is_touched(
    case: FaceVideos, capsys: pytest.CaptureFixture[str]
) -> None:
    case.prepare()
    notes = case.out / "Celeb-real/id1_0000/notes.txt"
    notes.write_text("mine", encoding="utf-8")
    case.video(NAMES[1]).unlink()
    case.video(NAMES[0]).unlink()
    assert case.prepare() == 0
    assert "removed the faces of 2 videos" in capsys.readouterr().out
    assert [path.name for path in notes.parent.iterdir()] == ["notes.txt"]
    assert not (case.out / "Celeb-real/id0_0000").exists()
    assert NAMES[1] not in samples_from_path(case.out, "test", "all").videos


def test_the_folder_of_another_data_set_is_refused(
    case: FaceVideos, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case.prepare()
    before = tree_digest(case.out)
    names = ("real/a.mp4", "fake/b.mp4")
    other = write_face_videos(tmp_path / "other", names)
    assert FaceVideos(other.source, other.boxes, case.out).prepare() == 2
    assert "holds the faces of other videos" in capsys.readouterr().err
    assert tree_digest(case.out) == before


def test_a_folder_of_something_else_is_refused(case: FaceVideos, capsys: pytest.CaptureFixture[str]) -> None:
    case.out.mkdir()
    (case.out / "thesis.tex").write_text("", encoding="utf-8")
    assert case.prepare() == 2
    assert "did not make; choose an empty folder" in capsys.readouterr().err
    assert [path.name for path in case.out.iterdir()] == ["thesis.tex"]


def test_what_stands_in_the_way_of_a_video_is_named(case: FaceVideos, capsys: pytest.CaptureFixture[str]) -> None:
    case.prepare()
    folder = case.out / "Celeb-real/id0_0000"
    (folder / "notes.txt").write_text("mine", encoding="utf-8")
    assert case.prepare("--frames", "2") == 2
    assert f"{folder} was not made by prepare-data and stands in the way" in capsys.readouterr().out
    assert (folder / "notes.txt").read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize("where", ["", "inside", "around", "file"])
def test_source_and_output_are_kept_apart(case: FaceVideos, where: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = tree_digest(case.source)
    out = {"": case.source, "inside": case.source / "faces", "around": case.source.parent, "file": case.boxes}[where]
    assert FaceVideos(case.source, case.boxes, out).prepare() == 2
    assert "choose a" in capsys.readouterr().err
    assert tree_digest(case.source) == before


def test_failed_videos_are_listed_when_the_others_are_done(
    case: FaceVideos, capsys: pytest.CaptureFixture[str]
) -> None:
    case.video(NAMES[0]).write_bytes(b"")
    case.video(NAMES[3]).write_text("<html>", encoding="utf-8")
    assert case.prepare() == 2
    told = capsys.readouterr()
    assert f"failed: {NAMES[0]}: " in told.out
    assert f"failed: {NAMES[3]}: " in told.out
    assert "2 of 5 videos failed" in told.err
    assert told.err.count("\n") == 1
    assert len(mtimes(case.out)) == 3 * len(TAKEN)
    with pytest.raises(DataError, match=r"not complete: prepare-data"):
        samples_from_path(case.out, "test", "all")

    assert case.prepare("--skip-unreadable") == 0
    assert "0 videos made, 3 reused" in capsys.readouterr().out
    samples = samples_from_path(case.out, "test", "all")
    assert samples.videos == {NAMES[1], NAMES[2], NAMES[4]}
    record = read_prepared(case.out)
    assert record is not None
    assert [video for video, _ in record.failed] == [NAMES[0], NAMES[3]]
    assert record.videos == 3


def test_when_nothing_could_be_taken_that_is_said(case: FaceVideos, capsys: pytest.CaptureFixture[str]) -> None:
    for options in (("--aligned",), ("--aligned", "--skip-unreadable")):
        assert case.prepare("--shape", "square", *options) == 2
        told = capsys.readouterr()
        assert told.out.count("faces.aligned = true needs the five landmarks") == len(NAMES)
        assert "every one of 5 videos failed" in told.err


def test_a_name_with_the_sign_between_persons_is_one_person(tmp_path: Path) -> None:
    case = write_face_videos(tmp_path, ("real/a;b.mp4", "fake/c.mp4"))
    assert case.prepare() == 0
    assert samples_from_path(case.out, "test").identities == {"real/a;b", "fake/c"}


def without_face(case: FaceVideos, *names: str) -> None:
    lines = case.boxes.read_text(encoding="utf-8").splitlines()
    kept = [f"{line.split(',')[0]},,,,," if line.split(",")[0] in names else line for line in lines]
    case.boxes.write_text("\n".join(kept) + "\n", encoding="utf-8")


def test_videos_without_a_face_are_counted_and_told(case: FaceVideos, capsys: pytest.CaptureFixture[str]) -> None:
    without_face(case, NAMES[2], NAMES[3])
    assert case.prepare() == 0
    assert "note: 2 videos have no face and will be left out of scores" in capsys.readouterr().out
    samples = samples_from_path(case.out, "test", "all")
    assert samples.videos == {NAMES[0], NAMES[1], NAMES[4]}
    assert {(each.video, each.is_fake) for each in samples.faceless} == {(NAMES[2], False), (NAMES[3], True)}
    assert {each.video for each in samples_from_path(case.out, "test").faceless} == {NAMES[2]}


def test_a_video_without_a_face_is_an_error_where_the_model_says_so(
    case: FaceVideos, capsys: pytest.CaptureFixture[str]
) -> None:
    without_face(case, NAMES[2])
    assert case.prepare("--no-face", "error") == 2
    told = capsys.readouterr()
    assert f"no face: {NAMES[2]}" in told.out
    assert "no face was found in 1 of 5 videos" in told.err


def test_no_face_anywhere_is_an_error(case: FaceVideos, capsys: pytest.CaptureFixture[str]) -> None:
    without_face(case, *NAMES)
    assert case.prepare() == 2
    assert "no face was found in any of 5 videos" in capsys.readouterr().err


def test_several_faces_of_a_frame_share_its_number(case: FaceVideos) -> None:
    top, left = 4, 6
    case.boxes.write_text(
        case.boxes.read_text(encoding="utf-8") + f"{NAMES[0]},,{left},{top},{WIDTH // 2},{HEIGHT}\n", encoding="utf-8"
    )
    assert case.prepare("--choice", "all") == 0
    crops = sorted((case.out / "Celeb-real/id0_0000").iterdir())
    assert [crop.name for crop in crops] == [f"{index:06d}_{face}.png" for index in TAKEN for face in (0, 1)]
    assert [picture(crop).shape[1] for crop in crops[:2]] == [WIDTH, WIDTH // 2]
    frames = [s.frame for s in samples_from_path(case.out, "test", "all").samples if s.video == NAMES[0]]
    assert frames == ["0", "0", "3", "3", "7", "7", "11", "11"]


def test_one_person_is_followed_where_asked(case: FaceVideos) -> None:
    """In the last frame another face is larger; it is not the one that was there before."""
    top, left = 4, 6
    rows = [f"{NAMES[0]},{index},{left},{top},{WIDTH},{HEIGHT}" for index in TAKEN]
    rows.append(f"{NAMES[0]},11,70,50,{WIDTH + 2},{HEIGHT + 2}")
    others = [line for line in case.boxes.read_text(encoding="utf-8").splitlines() if not line.startswith(NAMES[0])]
    case.boxes.write_text("\n".join([*others, *rows]) + "\n", encoding="utf-8")
    sizes = {}
    for choice in ("largest", "consistent"):
        assert case.prepare("--choice", choice) == 0
        folder = case.out / "Celeb-real/id0_0000"
        assert sorted(path.name for path in folder.iterdir()) == [f"{index:06d}.png" for index in TAKEN]
        sizes[choice] = picture(folder / "000011.png").shape[1]
    assert sizes == {"largest": WIDTH + 2, "consistent": WIDTH}


def test_video_files_need_to_be_told_where_faces_are(
    case: FaceVideos, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from preparation.cli import main

    assert main([str(case.source), str(case.out)]) == 2
    assert "pass --detector" in capsys.readouterr().err
    assert main([str(case.source), str(case.out), "--whole-frames", "--frames", "2"]) == 0
    pixels = picture(case.out / "Celeb-real/id0_0000/000011.png")
    assert np.abs(pixels.astype(int) - frame_with_face(11, 6, 4)).mean() < 6
    record = read_prepared(case.out)
    assert record is not None
    assert record.detector == "none"


def test_folders_of_images_are_sampled_and_cut_likewise(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from preparation.cli import main

    for label, start in (("real", 0), ("fake", 50)):
        for number in range(10):
            path = tmp_path / "images" / label / "clip" / f"{number:03d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(frame_with_face(start + number, 6, 4)).save(path)
    (tmp_path / "images/fake/clip/009.png").write_bytes(b"damaged")
    boxes = tmp_path / "boxes.csv"
    rows = [f"{label}/clip,,6,4,{WIDTH},{HEIGHT}" for label in ("real", "fake")]
    boxes.write_text("\n".join(["video,frame,left,top,width,height", *rows]) + "\n", encoding="utf-8")
    arguments = [str(tmp_path / "images"), str(tmp_path / "faces"), *CUT]
    assert main([*arguments, "--boxes", str(boxes)]) == 0
    assert "1 of 4 images do not decode" in capsys.readouterr().out
    found = {path.relative_to(tmp_path / "faces").as_posix(): path for path in (tmp_path / "faces").rglob("*.png")}
    assert {name: number_of(picture(path)) for name, path in found.items()} == {
        **{f"real/clip/{index:06d}.png": index for index in (0, 3, 6, 9)},
        **{f"fake/clip/{index:06d}.png": 50 + index for index in (0, 3, 6)},
    }
    assert "images were taken as faces" not in capsys.readouterr().out
    assert main(arguments) == 0
    assert np.array_equal(picture(tmp_path / "faces/real/clip/000003.png"), frame_with_face(3, 6, 4))
    told = capsys.readouterr().out
    assert "note: images were taken as faces; pass --detector or --boxes if" in told
    assert "declare in model.toml" not in told


def test_a_truncated_video_is_taken_as_far_as_it_decodes(case: FaceVideos, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_numbered(case.video(NAMES[0]), 60, container={"movflags": "faststart"}, options={"bf": "0"})
    content = path.read_bytes()
    path.write_bytes(content[: content.index(b"mdat") + 1600])
    assert case.prepare() == 0
    told = capsys.readouterr().out
    note = f"videos that are damaged, taken as far as they decode: 1, such as {NAMES[0]} ("
    assert f"note: {note}" in told
    assert "of 60 frames decode" in told
    (kept,) = samples_from_path(case.out, "test", "all").notes
    assert kept.startswith(f"before faces were cut out: {note}")


def test_a_dry_run_tells_and_writes_nothing(case: FaceVideos, capsys: pytest.CaptureFixture[str]) -> None:
    assert case.prepare("--dry-run") == 0
    told = capsys.readouterr().out
    assert "layout: celeb-df, 5 videos, 2 of them fake" in told
    assert "5 videos would be made, 0 reused" in told
    assert not case.out.exists()
    case.prepare()
    before = tree_digest(case.out)
    case.video(NAMES[0]).write_bytes(b"")
    assert case.prepare("--dry-run") == 0
    assert "1 videos would be made, 4 reused" in capsys.readouterr().out
    assert tree_digest(case.out) == before


def test_the_model_file_decides_and_options_go_before_it(
    case: FaceVideos, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from preparation.cli import main

    model = tmp_path / "model.toml"
    text = 'architecture = "x"\n[input]\nsize = 64\n[faces]\nmargin = 0.5\nshape = "box"\nmin_score = 0.9\n'
    model.write_text(text + "[video]\nframes = 3\n", encoding="utf-8")
    arguments = [str(case.source), str(case.out), "--boxes", str(case.boxes), "--model", str(model)]
    assert main(arguments) == 0
    record = read_prepared(case.out)
    assert record is not None
    assert (record.faces, record.frames) == (FaceContract(margin=0.5, shape="box", min_score=0.9), 3)
    assert "declare in model.toml" not in capsys.readouterr().out
    assert main([*arguments, "--margin", "0", "--frames", "2"]) == 0
    record = read_prepared(case.out)
    assert record is not None
    assert (record.faces, record.frames) == (FaceContract(margin=0.0, shape="box", min_score=0.9), 2)
    text = capsys.readouterr().out.partition("declare in model.toml:\n")[2]
    model.write_text('architecture = "x"\n[input]\nsize = 64\n' + text, encoding="utf-8")
    contract = contract_from_toml(model)
    assert (contract.faces, contract.video.frames) == (record.faces, record.frames)


def test_a_setting_out_of_range_is_named(case: FaceVideos, capsys: pytest.CaptureFixture[str]) -> None:
    assert case.prepare("--margin", "-1") == 2
    assert "faces.margin = -1.0; expected a number from 0 to 2" in capsys.readouterr().err


def test_the_summary_counts_what_there_is(case: FaceVideos, capsys: pytest.CaptureFixture[str]) -> None:
    without_face(case, NAMES[3])
    case.video(NAMES[0]).write_bytes(b"")
    case.prepare("--skip-unreadable")
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["real", "3", "8", "8", "0", "1"] in rows
    assert ["fake", "2", "8", "4", "1", "0"] in rows


def test_the_contact_sheet_shows_every_video(case: FaceVideos) -> None:
    case.prepare()
    sheet = picture(case.out / "contact_sheet.jpg").astype(int)
    assert sheet.shape[1] == 1600
    # Real videos on the left, three rows of four faces; fake ones on the right, two rows.
    dark = (sheet < 60).all(axis=2)
    rows = {side: _runs(part.sum(axis=1) > 60) for side, part in (("real", dark[:, :800]), ("fake", dark[:, 800:]))}
    assert (len(rows["real"]), len(rows["fake"])) == (3, 2)


def _runs(flags: np.ndarray) -> list[int]:
    """Returns the starts of runs of at least 20 lines."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(int), [0]])))
    return [int(start) for start, end in zip(edges[::2], edges[1::2], strict=True) if end - start >= 20]


def test_prepared_json_says_how(case: FaceVideos) -> None:
    case.prepare()
    stored = json.loads((case.out / "prepared.json").read_text(encoding="utf-8"))
    assert stored["detector"] == "boxes"
    assert len(stored["detector_sha256"]) == 64
    assert stored["frames"] == 4
    assert stored["faces"]["margin"] == 0
    assert stored["videos"] == 5
