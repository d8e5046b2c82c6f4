from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from calibration.datasets.dataset import media_from_path, samples_from_path
from calibration.datasets.faceforensics import identities_of_video
from export.errors import DataError
from tests.calibration.datasets.trees import by_name, files_of, write_files, write_json_file

if TYPE_CHECKING:
    from pathlib import Path

    from calibration.datasets.media import Medium

FILES = (
    "original_sequences/youtube/c23/videos/000.mp4",
    "original_sequences/youtube/C40/videos/000.mp4",
    "original_sequences/youtube/c23/videos/001.mp4",
    "original_sequences/actors/c23/videos/01__walking.mp4",
    "manipulated_sequences/Deepfakes/c23/videos/000_003.mp4",
    "manipulated_sequences/Deepfakes/masks/videos/000_003.mp4",
    "manipulated_sequences/neuraltextures/c23/videos/001_002.MP4",
    "manipulated_sequences/DeepFakeDetection/c23/videos/01_02__walking__ABCDEF.mp4",
    "manipulated_sequences/MyOwn/raw/videos/003_000.avi",
)


def facts(medium: Medium) -> tuple[bool, tuple[str, ...], str, dict[str, str]]:
    return medium.is_fake, medium.identities, medium.split, dict(medium.attributes)


@pytest.mark.parametrize("folder", ["splits/", ""])
def test_the_official_tree(folder: str, tmp_path: Path) -> None:
    root = write_files(tmp_path, *FILES)
    write_json_file(root / f"{folder}train.json", [["000", "003"]])
    write_json_file(root / f"{folder}val.json", [])
    write_json_file(root / f"{folder}test.json", [["001", "002"]])
    found = media_from_path(root)
    assert found.layout == "faceforensics"
    assert {video: facts(medium) for video, medium in by_name(found).items()} == {
        "youtube/c23/000": (False, ("000",), "train", {"compression": "c23"}),
        "youtube/c40/000": (False, ("000",), "train", {"compression": "c40"}),
        "youtube/c23/001": (False, ("001",), "test", {"compression": "c23"}),
        "actors/c23/01__walking": (False, ("01",), "", {"compression": "c23"}),
        "Deepfakes/c23/000_003": (
            True,
            ("000", "003"),
            "train",
            {"compression": "c23", "manipulation": "Deepfakes"},
        ),
        "NeuralTextures/c23/001_002": (
            True,
            ("001", "002"),
            "test",
            {"compression": "c23", "manipulation": "NeuralTextures"},
        ),
        "DeepFakeDetection/c23/01_02__walking__ABCDEF": (
            True,
            ("01", "02"),
            "",
            {"compression": "c23", "manipulation": "DeepFakeDetection"},
        ),
        "MyOwn/raw/003_000": (True, ("003", "000"), "train", {"compression": "raw", "manipulation": "MyOwn"}),
    }
    assert found.notes == ("videos in none of the splits: 2, such as DeepFakeDetection/c23/01_02__walking__ABCDEF",)


@pytest.mark.parametrize("kind", ["frames", "images", "faces", ""])
def test_frames_in_the_place_of_videos(kind: str, tmp_path: Path) -> None:
    names = [
        f"original_sequences/youtube/c23/{kind}/000/0000.png",
        f"original_sequences/youtube/c23/{kind}/000/0010.png",
        f"manipulated_sequences/Face2Face/c23/{kind}/000_003/0000.jpg",
    ]
    root = write_files(tmp_path, *(name.replace("//", "/") for name in names))
    samples = samples_from_path(root, "test")
    assert [(s.video, s.is_fake, s.identities, s.attributes) for s in samples.samples] == [
        ("Face2Face/c23/000_003", True, ("000", "003"), (("compression", "c23"), ("manipulation", "Face2Face"))),
        ("youtube/c23/000", False, ("000",), (("compression", "c23"),)),
        ("youtube/c23/000", False, ("000",), (("compression", "c23"),)),
    ]


def test_a_tree_without_compressions(tmp_path: Path) -> None:
    root = write_files(
        tmp_path, "original_sequences/youtube/000.mp4", "manipulated_sequences/FaceSwap/videos/000_003.mp4"
    )
    found = by_name(media_from_path(root))
    assert {video: dict(medium.attributes) for video, medium in found.items()} == {
        "youtube/000": {},
        "FaceSwap/000_003": {"manipulation": "FaceSwap"},
    }
    assert files_of(found["youtube/000"], root) == ("original_sequences/youtube/000.mp4",)


def test_each_purpose_takes_its_split(tmp_path: Path) -> None:
    root = tmp_path
    for number, split in (("000", "train"), ("001", "val"), ("002", "test")):
        write_files(root, f"original_sequences/youtube/c23/frames/{number}/0.png")
        write_json_file(root / "splits" / f"{split}.json", [[number, f"9{number[1:]}"]])
    for purpose, video in (("calibration", "000"), ("validation", "001"), ("test", "002")):
        assert samples_from_path(root, purpose).videos == {f"youtube/c23/{video}"}


def test_identities_are_the_numbers_of_videos_and_actors() -> None:
    assert identities_of_video("Deepfakes/c23/000_003") == ("000", "003")
    assert identities_of_video("youtube/c23/000") == ("000",)
    assert identities_of_video("actors/c23/01__exit_phone_room") == ("01",)
    assert identities_of_video("DeepFakeDetection/c23/01_02__exit__YVGY8LOK") == ("01", "02")
    assert identities_of_video("own/some clip") == ("some clip",)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("train.json", {"000": "003"}, "train.json is no list of pairs"),
        ("train.json", [["000", 3]], "train.json is no list of pairs"),
        ("splits/test.json", [["002", "000"]], "the video 000 is in train.json, too"),
    ],
)
def test_split_files_that_make_no_sense_are_refused(name: str, content: object, message: str, tmp_path: Path) -> None:
    root = write_files(tmp_path, *FILES)
    write_json_file(root / "splits/train.json", [["000", "003"]])
    if name == "train.json":
        (root / "splits/train.json").unlink()
    write_json_file(root / name, content)
    with pytest.raises(DataError, match=message):
        media_from_path(root)


def test_a_damaged_split_file_and_a_misplaced_folder_are_refused(tmp_path: Path) -> None:
    root = write_files(tmp_path, *FILES, "train.json")
    with pytest.raises(DataError, match="is not valid JSON"):
        media_from_path(root)
    (root / "train.json").unlink()
    write_files(root, "original_sequences/Deepfakes/c23/videos/000_003.mp4")
    with pytest.raises(DataError, match="expected youtube and actors below original_sequences and nowhere else"):
        media_from_path(root)
