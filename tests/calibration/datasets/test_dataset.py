"""Recognition of layouts, what is taken of a set for which purpose, and its digest."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from calibration.datasets.dataset import KNOWN_LAYOUTS, media_from_path, samples_from_path
from calibration.datasets.prepared import PreparedRecord, write_prepared
from calibration.samples import FacelessVideo, Sample, SampleSet
from export.errors import DataError
from export.face_contract import FaceContract
from export.sidecar import sha256_of_file, sha256_of_json
from tests.calibration.datasets.trees import write_file, write_files, write_json_file

if TYPE_CHECKING:
    from pathlib import Path


def test_a_manifest_says_what_a_folder_holds_whatever_its_folders_are_called(tmp_path: Path) -> None:
    root = write_files(tmp_path, "Celeb-real/a/0.png", "real/b.png")
    write_file(root / "manifest.csv", "path,label\nreal/b.png,1\n")
    found = media_from_path(root)
    assert (found.layout, [m.is_fake for m in found.media]) == ("manifest", [True])


def test_nothing_the_unknown_and_the_ambiguous_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no data folder at .*nowhere, nor a manifest"):
        media_from_path(tmp_path / "nowhere")
    with pytest.raises(DataError, match="has no layout that is known; known layouts are celeb-df: "):
        media_from_path(tmp_path)
    assert [text.partition(":")[0] for text in KNOWN_LAYOUTS.removeprefix("known layouts are ").split("; ")] == [
        "celeb-df",
        "faceforensics",
        "dfdc",
        "plain-folders",
        "manifest",
        "deepfakebench",
    ]
    (tmp_path / "empty" / "Celeb-real" / "id0_0000").mkdir(parents=True)
    with pytest.raises(DataError, match="holds neither images nor videos where celeb-df has them; folders without"):
        media_from_path(tmp_path / "empty")
    with pytest.raises(DataError, match=r"notes\.txt is neither a manifest"):
        media_from_path(write_file(tmp_path / "notes.txt", ""))
    write_files(tmp_path / "both", "Celeb-real/a/0.png", "real/b.png")
    with pytest.raises(DataError, match="both is laid out as celeb-df and as plain-folders; pass the folder of one"):
        media_from_path(tmp_path / "both")


def test_what_lies_one_folder_deeper_is_named(tmp_path: Path) -> None:
    write_files(tmp_path / "sets", "Celeb-DF-v2/Celeb-real/a/0.png", "faces/real/b.png", "other/c.png")
    with pytest.raises(DataError, match=r"sets is no data set, but it holds some: pass .*/Celeb-DF-v2 or .*/faces$"):
        media_from_path(tmp_path / "sets")


@pytest.mark.parametrize("name", ["List_of_testing_videos.txt", "metadata.json"])
def test_a_part_of_a_data_set_is_told_from_it(name: str, tmp_path: Path) -> None:
    write_files(tmp_path, "Celeb-real/a/0.png", name)
    with pytest.raises(DataError, match=f"{name} is a part of a data set; pass the folder"):
        media_from_path(tmp_path / name)


def test_videos_must_become_faces_first(tmp_path: Path) -> None:
    root = write_files(tmp_path / "data", "real/a.mp4", "real/b.png", "fake/c.mp4", "Test/real/d.png")
    expected = rf"holds video files \(of 2 of 3 videos\), such as c\.mp4, .*'prepare-data {root} OUT' and pass OUT"
    with pytest.raises(DataError, match=expected):
        samples_from_path(root, "calibration")
    assert samples_from_path(root, "test").videos == {"test/real/d"}


@pytest.fixture
def split_set(tmp_path: Path) -> Path:
    """Videos of every split and of none."""
    names = {"a": "train", "b": "Validation", "c": "TEST", "d": "", "e": "extra"}
    write_files(tmp_path, *(f"{name}.png" for name in names))
    rows = "".join(f"{name}.png,1,{split}\n" for name, split in names.items())
    return write_file(tmp_path / "list.csv", f"path,label,split\n{rows}")


def taken(path: Path, purpose: str, split: str | None = None) -> str:
    return "".join(sorted(samples_from_path(path, purpose, split).videos))  # type: ignore[arg-type]


def test_the_purpose_decides_the_split(split_set: Path) -> None:
    assert taken(split_set, "calibration") == "a"
    assert taken(split_set, "validation") == "b"
    assert taken(split_set, "test") == "c"
    for purpose in ("calibration", "validation", "test"):
        assert taken(split_set, purpose, "all") == "abcde"
        assert taken(split_set, purpose, "EXTRA") == "e"
        assert taken(split_set, purpose, "val") == "b"
        with pytest.raises(DataError, match=f"no split 'other' but only extra, .*; pass --{purpose}-split with one of"):
            taken(split_set, purpose, "other")


def test_what_was_chosen_unasked_is_told(split_set: Path) -> None:
    text = split_set.read_text(encoding="utf-8")
    (note,) = samples_from_path(split_set, "validation").notes
    assert note == "1 of 5 videos taken, those of the split val; --validation-split takes others"
    write_file(split_set, text.replace("Validation", "extra"))
    (note,) = samples_from_path(split_set, "validation").notes
    assert note == "4 of 5 videos taken, those of the split extra and none and train; --validation-split takes others"
    assert samples_from_path(split_set, "validation", "train").notes == ()
    write_file(split_set, text.replace("Validation", "test").replace("train", "test").replace("extra", "test"))
    (note,) = samples_from_path(split_set, "test").notes
    assert note.startswith("4 of 5 videos taken, those of the split test;")


def test_without_a_split_of_its_own_a_purpose_takes_what_is_not_for_testing(split_set: Path) -> None:
    text = split_set.read_text(encoding="utf-8")
    write_file(split_set, text.replace("train", "extra").replace("Validation", "extra"))
    assert taken(split_set, "calibration") == taken(split_set, "validation") == "abde"
    write_file(split_set, text.replace("TEST", "train"))
    with pytest.raises(DataError, match="no test split but only extra, train, val; pass --test-split with one of"):
        taken(split_set, "test")
    write_file(split_set, "path,label,split\na.png,1,test\n")
    with pytest.raises(DataError, match=r"every video .* is a test video, so none is left for validation"):
        taken(split_set, "validation")
    write_file(split_set, "path,label,split\na.png,1,\n")
    assert taken(split_set, "test") == taken(split_set, "calibration") == "a"
    with pytest.raises(DataError, match="no split 'test' but no splits at all; pass --test-split with one of all"):
        taken(split_set, "test", "test")


def test_faceless_and_failed_videos_of_prepared_folders_are_known(tmp_path: Path) -> None:
    root = write_files(tmp_path, "a.png", "b.png")
    write_file(root / "manifest.csv", "path,label,split\na.png,1,test\nb.png,0,train\n")
    faceless = tuple(
        FacelessVideo(f"v/{split}", True, ("x",), (("part", "0"),), split) for split in ("train", "test", "")
    )
    record = PreparedRecord(
        FaceContract(), 32, "yunet", "0" * 64, 2, faceless, (("v/broken", "no video in it"),), ("copies",)
    )
    write_prepared(root, record)
    samples = samples_from_path(root, "test")
    assert samples.faceless == (faceless[1],)
    assert samples.notes == (
        "1 of 2 videos taken, those of the split test; --test-split takes others",
        "before faces were cut out: copies",
        "videos that could not be prepared: 1, such as v/broken (no video in it)",
    )
    assert samples_from_path(root, "test", "all").faceless == faceless


def test_digests_cover_what_there_is_and_nothing_else(tmp_path: Path) -> None:
    root = write_files(tmp_path / "here", "a.png", "b.png")
    plain = SampleSet(root, (Sample(root / "a.png", True, "v/a", ("x",)), Sample(root / "b.png", False, "v/b", ("y",))))
    # What the digest was before sets knew of frames, slices and faceless videos.
    rows = [
        ["a.png", True, "v/a", sha256_of_file(root / "a.png")],
        ["b.png", False, "v/b", sha256_of_file(root / "b.png")],
    ]
    assert plain.sha256 == sha256_of_json(rows)
    first, second = plain.samples
    lost = FacelessVideo("v/c", True, ("z",))
    variants = [
        plain,
        SampleSet(root, (replace(first, frame="0"), second)),
        SampleSet(root, (first, replace(second, frame="0"))),
        SampleSet(root, plain.samples, (lost,)),
        SampleSet(root, plain.samples, (replace(lost, is_fake=False),)),
    ]
    assert len({one.sha256 for one in variants}) == len(variants)
    assert SampleSet(root, plain.samples, notes=("told",)).sha256 == plain.sha256
    # Scores stay true whatever the set is sliced by.
    assert SampleSet(root, (replace(first, attributes=(("column", "value"),)), second)).sha256 == plain.sha256
    assert SampleSet(root, plain.samples[::-1]).sha256 == plain.sha256
    shutil.copytree(root, tmp_path / "there")
    moved = tuple(replace(s, path=tmp_path / "there" / s.path.name) for s in plain.samples)
    assert SampleSet(tmp_path / "there", moved).sha256 == plain.sha256
    # An image elsewhere has no name that would be the same everywhere.
    outside = SampleSet(root, (first, replace(second, path=tmp_path / "there" / "b.png")))
    assert outside.sha256 != plain.sha256


def test_a_list_of_frames_gives_the_digest_of_its_data_wherever_it_lies(tmp_path: Path) -> None:
    digests = []
    for place in ("one", "another/deeper"):
        names = [f"Set/{kind}/frames/{kind}_{index}/0.png" for kind in ("real", "fake") for index in range(2)]
        write_files(tmp_path / place, *names)
        listed = {
            f"Set_{kind}": {
                "test": {
                    f"{kind}_{index}": {"label": f"Set_{kind}", "frames": [f"x/Set/{kind}/frames/{kind}_{index}/0.png"]}
                    for index in range(2)
                }
            }
            for kind in ("real", "fake")
        }
        path = write_json_file(tmp_path / place / "list.json", {"Set": listed})
        digests.append(samples_from_path(path, "test").sha256)
    assert digests[0] == digests[1]
