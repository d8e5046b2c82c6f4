from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import numpy as np
import pytest

from calibration.datasets.dataset import media_from_path
from calibration.datasets.media import FaceImage, Medium
from export.errors import DataError
from tests.calibration.datasets.trees import (
    files_of,
    json_lines,
    manifest_text,
    random_name,
    write_file,
    write_files,
)

if TYPE_CHECKING:
    from pathlib import Path

FRESH = pytest.param(secrets.randbelow(1 << 32), id="fresh")


def random_media(root: Path, seed: int) -> tuple[Medium, ...]:
    """Draws videos as files and as images, in the folder and out of it, and writes them."""
    rng = np.random.default_rng(seed)
    columns = sorted({f"column {random_name(rng)}".lower() for _ in range(2)})
    media = {}
    for _ in range(12):
        video = f"{random_name(rng)}/{random_name(rng)}"
        people = tuple(dict.fromkeys(random_name(rng, ";") for _ in range(rng.integers(1, 3))))
        attributes = tuple((name, random_name(rng)) for name in columns if rng.random() < 0.6)
        split = str(rng.choice(["", "train", "Validation", random_name(rng)]))
        home = root / "data" if rng.random() < 0.8 else root / "elsewhere"
        folder = home / random_name(rng, ".") / str(len(media))
        file, images = None, ()
        if rng.random() < 0.3:
            file = write_file(folder / f"{random_name(rng)}.mp4", video)
        else:
            names = sorted({f"{random_name(rng)}.png" for _ in range(rng.integers(1, 5))})
            frames = [str(rng.choice(["", "0", random_name(rng)])) for _ in names]
            images = tuple(
                FaceImage(write_file(folder / name, f"{video} {name}"), frame)
                for name, frame in zip(names, frames, strict=True)
            )
        media[video] = Medium(video, bool(rng.random() < 0.5), people, split, attributes, file, images)
    return tuple(media[video] for video in sorted(media))


@pytest.mark.parametrize("seed", [0, 1, FRESH])
@pytest.mark.parametrize(
    "form", ["manifest.csv", "list.CSV", "list.tsv", "semicolons.csv", "windows.csv", "list.jsonl"]
)
def test_whatever_is_written_is_read_back(form: str, seed: int, tmp_path: Path) -> None:
    media = random_media(tmp_path, seed)
    path = tmp_path / "data" / form
    if form.endswith("jsonl"):
        text = json_lines(media, path.parent)
    elif form.startswith("windows"):
        text = "\ufeff" + manifest_text(media, path.parent, line_end="\r\n")
    else:
        text = manifest_text(media, path.parent, {"list.tsv": "\t", "semicolons.csv": ";"}.get(form, ","))
    write_file(path, text)
    found = media_from_path(path)
    assert (found.root, found.layout, found.notes) == (path.parent, "manifest", ())
    assert found.media == media
    if form == "manifest.csv":
        assert media_from_path(path.parent) == found


def test_only_path_and_label_are_needed(tmp_path: Path) -> None:
    root = write_files(tmp_path, "a/0.png", "b/0.jpg", "b/1.jpg", "c/d.MP4", "e/f.png")
    rows = ["Path , LABEL", "a/0.png, Fake", "b,0", "c\\d.MP4,REAL", f"{tmp_path}/e/f.png,1", ",", ""]
    path = write_file(root / "list.csv", "\n".join(rows))
    found = media_from_path(path)
    assert {m.video: (m.is_fake, m.identities, files_of(m, root)) for m in found.media} == {
        "a/0": (True, ("a/0",), ("a/0.png",)),
        "b": (False, ("b",), ("b/0.jpg", "b/1.jpg")),
        "c/d": (False, ("c/d",), ("c/d.MP4",)),
        f"{tmp_path}/e/f"[1:]: (True, (f"{tmp_path}/e/f"[1:],), ("e/f.png",)),
    }


def test_numbers_and_nulls_of_json_lines(tmp_path: Path) -> None:
    root = write_files(tmp_path, "a.png", "b.png")
    path = root / "list.jsonl"
    write_file(
        path, '{"path": "a.png", "label": 1, "age": 30, "glasses": true}\n\n{"path": "b.png", "label": 0, "age": null}'
    )
    assert [(m.is_fake, m.attributes) for m in media_from_path(path).media] == [
        (True, (("age", "30"), ("glasses", "true"))),
        (False, ()),
    ]


def test_what_varies_within_a_video_is_no_slice(tmp_path: Path) -> None:
    root = write_files(tmp_path, "a/0.png", "a/1.png")
    path = write_file(
        root / "list.csv", "path,label,video,second,source,late,early\na/0.png,1,v,0.0,x,,1\na/1.png,1,v,0.5,x,1,\n"
    )
    found = media_from_path(path)
    assert found.media[0].attributes == (("source", "x"),)
    assert found.notes == ("columns that vary within videos, so that no slices are made by them: early, late, second",)


def test_paths_that_are_not_there_are_counted(tmp_path: Path) -> None:
    root = write_files(tmp_path, "a.png")
    path = write_file(root / "list.csv", "path,label\na.png,1\nb.png,0\nc.png,0\n")
    found = media_from_path(path)
    assert [m.video for m in found.media] == ["a"]
    assert found.notes == ("paths of the manifest that are not there: 2, such as b.png",)
    (root / "a.png").unlink()
    with pytest.raises(DataError, match=r"not one of the 3 paths in .*list.csv is there, such as a.png"):
        media_from_path(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no column path and none label; expected a first line such as path,label"),
        ("path,video\na.png,x\n", "has no column label"),
        ("path|label\na.png|1\n", "has no column path and none label"),
        ("path,label,Label\na.png,1,1\n", "has the column 'label' twice"),
        ("path,label\na.png,2\n", ":2: label '2'; expected 1 or fake, 0 or real"),
        ("path,label\na.png,\n", ":2: label ''; expected"),
        ("path,label\n,1\n", ":2: no path"),
        ("path,label\na.png,1\nb.png,0,x\n", ":3: 3 fields; expected 2"),
        ("path,label\na.png,1\na.png,1\n", r":3: .*a.png is named in .*:2, too"),
        ("path,label,video\nd,1,v\nd/0.png,1,v\n", r":3: .*d/0.png is named in .*:2, too"),
        ("path,label,video\na.png,1,v\nb.png,0,v\n", r":3: v has another label in .*:2"),
        ("path,label,video,identity\na.png,1,v,x;y\nb.png,1,v,x\n", r":3: v has another identity in .*:2"),
        ("path,label,video,split\na.png,1,v,x\nb.png,1,v,y\n", r":3: v has another split in .*:2"),
        ("path,label,video\na.png,1,v\nc.mp4,1,v\n", r":3: the video of .*:2 has a file already"),
        ("path,label\na.png,1\n./a.jpg,1\n", r":3: .*:2 has a video a, too; name both in a column video"),
        ("path,label,video\na.png,1,../v\n", r"a video called '\.\./v'; expected FOLDER/NAME"),
        ("path,label,video\na.png,1,/v\n", r"a video called '/v'; expected FOLDER/NAME"),
        ('path,label,tone\na.png,1,"x\ty"\n', r"a.png: 'x\\ty' has letters that cannot be printed"),
        ('path,label,video\na.png,1,"x\ny"\n', r"a.png: 'x\\ny' has letters that cannot be printed"),
        (f"path,label,video\na.png,1,{'é' * 101}\n", r"a video called 'é+'; expected FOLDER/NAME"),
        ("path,label\ne.txt,1\n", r":2: .*e.txt is neither an image nor a video nor a folder"),
        ("path,label\nempty,1\n", r":2: the folder .*empty holds no images"),
        ('path,label\n"a.png,1\n', r"no CSV"),
        ("path,label\na.png,1\nb\xff.png,0\n".encode("latin-1"), "is not UTF-8 text"),
    ],
)
def test_tables_that_make_no_sense_are_refused(text: str | bytes, message: str, tmp_path: Path) -> None:
    root = write_files(tmp_path, "a.png", "a.jpg", "b.png", "c.mp4", "d/0.png", "e.txt")
    (root / "empty").mkdir()
    path = write_file(root / "list.csv", text)
    with pytest.raises(DataError, match=message):
        media_from_path(path)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"path": "a.png", "label": true}', ":2: label true; expected 1 or fake"),
        ('{"path": "a.png"}', ":2 has no column label"),
        ('["a.png", 1]', ":2: expected an object"),
        ("a.png,1", ":2: no JSON"),
        ('{"path": "a.png", "label": 1, "tags": ["x"]}', ":2: tags is a list or an object"),
        ('{"path": "a.png", "label": 1, "identity": [["x"]]}', ":2: identity is a list or an object"),
        ("[" * 5000, ":2: no JSON"),
        ('{"path": "a.png", "label": 1, "identity": "\\ud800"}', "has letters that cannot be printed"),
    ],
)
def test_json_lines_that_make_no_sense_are_refused(line: str, message: str, tmp_path: Path) -> None:
    root = write_files(tmp_path, "a.png", "b.png")
    path = write_file(root / "list.jsonl", '{"path": "b.png", "label": 0}\n' + line)
    with pytest.raises(DataError, match=message):
        media_from_path(path)
