from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from calibration.datasets.dataset import media_from_path, samples_from_path
from calibration.datasets.media import FaceImage, Medium
from export.errors import DataError
from tests.calibration.datasets.trees import by_name, write_file, write_files, write_json_file

if TYPE_CHECKING:
    from pathlib import Path

FRESH = pytest.param(secrets.randbelow(1 << 32), id="fresh")
PREFIXES = ("", "./", "/home/somebody/datasets/rgb/", ".\\datasets\\rgb\\", "D:\\deepfakes\\rgb\\")
METHODS = {
    "FF-real": "youtube",
    "FF-DF": "Deepfakes",
    "FF-F2F": "Face2Face",
    "FF-FS": "FaceSwap",
    "FF-NT": "NeuralTextures",
}


def entry(label: str, *frames: str) -> dict[str, Any]:
    return {"label": label, "frames": list(frames)}


def random_faceforensics(root: Path, seed: int) -> tuple[tuple[Medium, ...], dict[str, Any]]:
    """Draws a part of FaceForensics++ as DeepfakeBench lays it out, and its list as any machine may have written it."""
    rng = np.random.default_rng(seed)
    listed: dict[str, Any] = {}
    media = []
    for label, method in METHODS.items():
        sequences = "original_sequences" if label == "FF-real" else "manipulated_sequences"
        for number in rng.choice(1000, 3, replace=False):
            name = f"{number:03d}" if label == "FF-real" else f"{number:03d}_{rng.integers(1000):03d}"
            split, compression = str(rng.choice(["train", "val", "test"])), str(rng.choice(["c23", "c40"]))
            folder = f"FaceForensics++/{sequences}/{method}/{compression}/frames/{name}"
            frames = [f"{folder}/{index:03d}.png" for index in sorted(rng.choice(270, 4, replace=False))]
            write_files(root, *frames)
            # Some projects list frames by chance, and all of them as their machine calls them.
            prefix = str(rng.choice(PREFIXES))
            told = [prefix + (f.replace("/", "\\") if "\\" in prefix else f) for f in rng.permutation(frames)]
            videos = listed.setdefault(label, {}).setdefault(split, {}).setdefault(compression, {})
            videos[name] = {**entry(label, *told), "landmarks": []}
            attributes = (("compression", compression), *((("manipulation", method),) if label != "FF-real" else ()))
            media.append(
                Medium(
                    f"{method}/{compression}/{name}",
                    label != "FF-real",
                    tuple(name.split("_")),
                    split,
                    attributes,
                    images=tuple(FaceImage(root / frame) for frame in frames),
                )
            )
    return tuple(sorted(media, key=lambda medium: medium.video)), {"FaceForensics++": listed}


@pytest.mark.parametrize("seed", [0, 1, FRESH])
@pytest.mark.parametrize("home", ["rgb", "rgb/FaceForensics++", "preprocessing/dataset_json"])
def test_whatever_is_written_is_read_back(home: str, seed: int, tmp_path: Path) -> None:
    # In the third case the data lie beside a folder above the list.
    data = tmp_path / "rgb" if home.startswith("rgb") else tmp_path
    media, listed = random_faceforensics(data, seed)
    found = media_from_path(write_json_file(tmp_path / home / "FaceForensics++.json", listed))
    assert (found.root, found.layout, found.notes) == (data / "FaceForensics++", "deepfakebench", ())
    assert found.media == media


def test_names_are_those_of_the_other_layouts(tmp_path: Path) -> None:
    """The same video must be known as such, whichever way it comes."""
    folders = ("Celeb-real/frames/id0_0000", "YouTube-real/frames/00001", "Celeb-synthesis/frames/id0_id1_0000")
    root = write_files(tmp_path / "Celeb-DF-v2", *(f"{folder}/000.png" for folder in folders))
    real, youtube, fake = (entry("x", f"Celeb-DF-v2/{folder}/000.png") for folder in folders)
    for one in (real, youtube):
        one["label"] = "CelebDFv2_real"
    fake["label"] = "CelebDFv2_fake"
    listed = {
        "CelebDFv2_real": {"test": {"id0_0000": real, "00001": youtube}},
        "CelebDFv2_fake": {"test": {"id0_id1_0000": fake}},
    }
    found = media_from_path(write_json_file(tmp_path / "Celeb-DF-v2.json", {"Celeb-DF-v2": listed}))
    tree = media_from_path(root)
    assert [(m.video, m.is_fake, m.identities, m.images) for m in found.media] == [
        (m.video, m.is_fake, m.identities, m.images) for m in tree.media
    ]


def test_other_data_sets_keep_their_names(tmp_path: Path) -> None:
    write_files(tmp_path, "UADFV/fake/frames/0000_fake/0.png", "UADFV/real/frames/0000/0.png")
    listed = {
        "UADFV_Real": {"train": {"0000": entry("UADFV_Real", "UADFV/real/frames/0000/0.png")}},
        "UADFV_Fake": {"train": {"0000_fake": entry("UADFV_Fake", "UADFV/fake/frames/0000_fake/0.png")}},
    }
    found = by_name(media_from_path(write_json_file(tmp_path / "UADFV.json", {"UADFV": listed})))
    assert {video: (m.is_fake, m.identities, m.split) for video, m in found.items()} == {
        "UADFV_Real/0000": (False, ("UADFV_Real/0000",), "train"),
        "UADFV_Fake/0000_fake": (True, ("UADFV_Fake/0000_fake",), "train"),
    }


@pytest.mark.parametrize(
    ("label", "is_fake"),
    [
        ("DFD_real", False),
        ("DFDCP_FakeA", True),
        ("DeepFakeDetection_real", False),
        ("fsgan_Fake", True),
        ("Celeb-synthesis", True),
        ("FF-FH", True),
        ("ff-REAL", False),
        ("real_people", False),
    ],
)
def test_labels_are_known_by_their_names(label: str, is_fake: bool, tmp_path: Path) -> None:
    write_files(tmp_path, "x/y/v/0.png")
    path = write_json_file(tmp_path / "list.json", {"X": {label: {"test": {"v": entry(label, "x/y/v/0.png")}}}})
    assert [medium.is_fake for medium in media_from_path(path).media] == [is_fake]


def test_a_video_in_several_splits_is_a_test_video(tmp_path: Path) -> None:
    write_files(tmp_path, "x/y/v/0.png", "x/y/w/0.png", "x/y/u/0.png")
    v, w, u = (entry("A_real", f"x/y/{name}/0.png") for name in "vwu")
    listed = {"X": {"A_real": {"train": {"v": v, "w": w, "u": u}, "val": {"w": w, "v": v}, "test": {"v": v}}}}
    found = media_from_path(write_json_file(tmp_path / "list.json", listed))
    assert {m.video: m.split for m in found.media} == {"A_real/v": "test", "A_real/w": "val", "A_real/u": "train"}
    assert found.notes == (
        "videos in several splits, taken as test rather than val and as val rather than train: 2, such as v",
    )
    assert samples_from_path(tmp_path / "list.json", "calibration").videos == {"A_real/u"}


def test_the_longest_end_of_a_path_and_the_nearest_folder_win(tmp_path: Path) -> None:
    """`frames/000` is in every data set; to take the one of another would give a video the wrong pictures."""
    path = "/old/rgb/Set/fake/c23/frames/000/0.png"
    write_files(tmp_path, "lists/c23/frames/000/0.png", "Set/fake/c23/frames/000/0.png", "lists/frames/000/0.png")
    json_path = write_json_file(
        tmp_path / "lists/a.json", {"Set": {"S_fake": {"test": {"000": entry("S_fake", path)}}}}
    )
    assert media_from_path(json_path).media[0].images[0].path == tmp_path / "Set/fake/c23/frames/000/0.png"
    (tmp_path / "Set").rename(tmp_path / "Elsewhere")
    assert media_from_path(json_path).media[0].images[0].path == tmp_path / "lists/c23/frames/000/0.png"
    (tmp_path / "lists/c23").rename(tmp_path / "lists/c40")
    with pytest.raises(DataError, match=r"not one frame that .* lists is there, such as /old/rgb"):
        media_from_path(json_path)


def test_frames_and_videos_that_are_not_there_are_counted(tmp_path: Path) -> None:
    write_files(tmp_path, "x/y/v/0.png")
    videos = {"v": entry("A_real", "x/y/v/0.png", "x/y/v/1.png"), "w": entry("A_real", "x/y/w/0.png")}
    found = media_from_path(write_json_file(tmp_path / "list.json", {"X": {"A_real": {"test": videos}}}))
    assert [len(medium.images) for medium in found.media] == [1]
    assert found.notes == (
        "frames of list.json that are not there: 2, such as x/y/v/1.png",
        "videos left out for lack of frames: 1, such as w",
    )


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        ([], "its data sets are no object"),
        ({"X": []}, "its labels of X are no object"),
        ({"X": {"A_real": {"test": {"v": ["x/y/v/0.png"]}}}}, "its videos of A_real, test, v are no object"),
        ({"X": {"A_real": {"test": {"v": {"frames": "x"}}}}}, "the frames of v are no list of paths"),
        (
            {"X": {"Odd": {"test": {"v": entry("Odd", "x/y/v/0.png")}}, "B_real": {}}},
            "the labels Odd are neither real nor fake",
        ),
        (
            {"X": {"A_real": {"test": {"v": entry("A_fake", "x/y/v/0.png")}}}},
            "v has the label 'A_fake' but is listed as A_real",
        ),
        ({}, "not one frame that .* lists is there, such as none at all"),
    ],
)
def test_lists_that_make_no_sense_are_refused(stored: object, message: str, tmp_path: Path) -> None:
    write_files(tmp_path, "x/y/v/0.png")
    path = write_json_file(tmp_path / "list.json", stored)
    with pytest.raises(DataError, match=message):
        media_from_path(path)


def test_what_is_no_json_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not valid JSON"):
        media_from_path(write_file(tmp_path / "list.json", "{'X': 1}"))
