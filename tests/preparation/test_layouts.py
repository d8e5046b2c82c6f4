"""Whatever the layout of videos is, their faces keep what is known of them, and the two verbs take them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from calibration.datasets.dataset import media_from_path
from export.face_contract import FaceContract, VideoContract
from preparation.cli import main as prepare_data
from tests.detectors import TINY, contract_for_tests, write_checkpoint
from tests.preparation.face_videos import FaceVideos, write_face_videos
from tests.preparation.numbered_video import numbered_frame, write_video
from tests.signoff_run import DONE, GRADED, SignoffCase

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def _videos(root: Path, *names: str) -> Path:
    for index, name in enumerate(names):
        write_video(root / name, [numbered_frame(17 * index + number) for number in range(3)])
    return root


def _celeb_df(root: Path) -> Path:
    return _videos(root, "Celeb-real/id0_0000.mp4", "YouTube-real/00170.mp4", "Celeb-synthesis/id0_id1_0000.mp4")


def _faceforensics(root: Path) -> Path:
    _videos(
        root,
        *(f"original_sequences/youtube/c23/videos/{name}.mp4" for name in ("000", "003", "010", "011")),
        *(f"manipulated_sequences/{kind}/c23/videos/000_003.mp4" for kind in ("Deepfakes", "Face2Face")),
        "manipulated_sequences/FaceSwap/c23/videos/010_011.mp4",
    )
    for split, pairs in {"train": [["000", "003"]], "val": [], "test": [["010", "011"]]}.items():
        (root / f"{split}.json").write_text(json.dumps(pairs), encoding="utf-8")
    return root


def _dfdc(root: Path) -> Path:
    _videos(root / "dfdc_train_part_0", "aaa.mp4", "bbb.mp4")
    metadata = {
        "aaa.mp4": {"label": "REAL", "split": "train", "original": None},
        "bbb.mp4": {"label": "FAKE", "split": "train", "original": "aaa.mp4"},
    }
    (root / "dfdc_train_part_0/metadata.json").write_text(json.dumps(metadata), encoding="utf-8")
    return root


def _plain_folders(root: Path) -> Path:
    return _videos(root, "train/real/a.mp4", "train/fake/b.mkv", "test/real/c.mov", "test/fake/d.avi")


def _manifest(root: Path) -> Path:
    _videos(root, "x/a.mp4", "x/b.mp4", "y/b.mkv")
    rows = [
        "path,label,video,identity,split,compression,kind",
        "x/a.mp4,real,first,anna,train,c23,",
        "x/b.mp4,1,second,anna;berta,test,c40,swap",
        "y/b.mkv,0,,clara,test,,",
    ]
    (root / "videos.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return root / "videos.csv"


LAYOUTS = {
    "celeb-df": _celeb_df,
    "faceforensics": _faceforensics,
    "dfdc": _dfdc,
    "plain-folders": _plain_folders,
    "manifest": _manifest,
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_faces_keep_what_is_known_of_their_videos(layout: str, tmp_path: Path) -> None:
    write: Callable[[Path], Path] = LAYOUTS[layout]
    source = write(tmp_path / "source")
    found = media_from_path(source)
    assert found.layout == layout
    assert prepare_data([str(source), str(tmp_path / "faces"), "--whole-frames", "--frames", "2"]) == 0
    faces = media_from_path(tmp_path / "faces")
    assert [len(medium.images) for medium in faces.media] == [2] * len(found.media)
    assert [(m.video, m.is_fake, m.identities, m.split, m.attributes) for m in faces.media] == [
        (m.video, m.is_fake, m.identities, m.split, m.attributes) for m in found.media
    ]


def _pair(folder: Path, first: int) -> FaceVideos:
    names = [f"Celeb-real/id{first + number}_0000.mp4" for number in range(4)]
    names += [f"Celeb-synthesis/id{first + number}_id{first + 9}_0000.mp4" for number in range(4)]
    return write_face_videos(folder, tuple(names), first)


def test_videos_go_through_both_verbs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    contract = contract_for_tests(
        TINY, 64, faces=FaceContract(margin=0.0, shape="box"), video=VideoContract(frames=4, aggregation="max")
    )
    sets = {name: _pair(tmp_path / name, first) for name, first in (("calibration", 0), ("test", 10))}
    checkpoint = write_checkpoint(tmp_path / "model", contract)
    for each in sets.values():
        assert each.prepare("--model", str(checkpoint.parent / "model.toml")) == 0
    case = SignoffCase(checkpoint, sets["calibration"].out, sets["test"].out, tmp_path / "run")
    assert case.build("--variants", "baseline") in DONE
    assert case.evaluate() in GRADED
    assert "Celeb-synthesis/id10_id19_0000" in (case.out / "results/baseline/scores.csv").read_text(encoding="utf-8")

    assert sets["test"].prepare("--margin", "0.2") == 0
    capsys.readouterr()
    assert case.evaluate() == 2
    assert "faces.margin = 0.2 where the model file declares 0.0" in capsys.readouterr().err
