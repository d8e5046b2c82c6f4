"""Data sets of drawn faces in every layout, with splits that share no person."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tests.celeb_df_tree import write_image

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SPLITS = ("train", "val", "test")
# Three persons are in a split, and each of them is in a real and in a fake video.
PEOPLE = 3
FRAMES = 2


@dataclass(frozen=True)
class LayoutCase:
    """A data set on disk.

    Attributes:
        data: What is passed to a command.
        videos: Split -> name of each of its videos -> label.
        options: Further options of evaluate-engines.
        frames: Images of a video.
        note: What the commands have to say of the set.
    """

    data: Path
    videos: dict[str, dict[str, bool]]
    options: tuple[str, ...] = ()
    frames: int = FRAMES
    note: str = ""


def plain_folders(root: Path) -> LayoutCase:
    """Single pictures, with a file beside them that is none."""
    videos = named(lambda split, label, person, _: f"{split}/{label}/{person}.0")
    for split, label, person, other in drawn():
        write(root / split.title() / label / f"{person}.0.png", other)
    (root / "Train" / "real" / "readme.txt").write_text("not a face", encoding="utf-8")
    return LayoutCase(root, videos, frames=1, note="files of other kinds, left out: 1, such as ")


def faceforensics(root: Path) -> LayoutCase:
    for _, _, person, other in drawn():
        folder = f"manipulated_sequences/Deepfakes/c23/frames/{person}_{other}" if other else f"{REAL}/frames/{person}"
        write_frames(root / folder, other)
    for split in SPLITS:
        pairs = [[person, other] for own, _, person, other in drawn() if own == split and other]
        (root / f"{split}.json").write_text(json.dumps(pairs), encoding="utf-8")
    return LayoutCase(root, named(lambda _split, _label, person, other: ff_name(person, other)))


def deepfakebench(root: Path) -> LayoutCase:
    listed: dict[str, dict[str, dict[str, dict[str, object]]]] = {}
    for split, _, person, other in drawn():
        name = f"{person}_{other}" if other else person
        folder = f"FaceForensics++/{'manipulated_sequences/Deepfakes' if other else 'original_sequences/youtube'}/c23"
        write_frames(root / folder / "frames" / name, other)
        frames = [f".\\datasets\\rgb\\{folder}/frames/{name}/{i:03d}.png".replace("/", "\\") for i in range(FRAMES)]
        key = "FF-DF" if other else "FF-real"
        videos = listed.setdefault(key, {}).setdefault(split, {}).setdefault("c23", {})
        videos[name] = {"label": key, "frames": frames}
    path = root / "dataset_json" / "FaceForensics++.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"FaceForensics++": listed}), encoding="utf-8")
    return LayoutCase(path, named(lambda _split, _label, person, other: ff_name(person, other)))


def dfdc(root: Path) -> LayoutCase:
    """Parts in the place of splits; all of them are for training, as the challenge has it."""
    for split in SPLITS:
        stated = {}
        for own, label, person, other in drawn():
            if own == split:
                name = f"{person}x{other}" if other else person
                write_frames(root / split / name, other)
                stated[f"{name}.mp4"] = {"label": label.upper(), "split": "train", "original": f"{person}.mp4"}
        (root / split / "metadata.json").write_text(json.dumps(stated), encoding="utf-8")
    videos = named(lambda split, _, person, other: f"{split}/{person}x{other}" if other else f"{split}/{person}")
    return LayoutCase(root, videos, ("--test-split", "train", "--validation-split", "train"))


def manifest(root: Path) -> LayoutCase:
    """A table apart from its images, which lie below no folder of its own, with frames of several faces."""
    rows = []
    for split, label, person, other in drawn():
        for index in range(FRAMES):
            path = root / "images" / f"{person}{other}-{index}.png"
            write(path, other)
            video, people = f"clips/{person}{other}", f"{person};{other}" if other else person
            rows.append((path, label, video, people, split, "0", "indoors" if int(person) % 2 else "outdoors"))
    table = root / "tables" / "faces.csv"
    table.parent.mkdir()
    with table.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([("path", "label", "video", "identity", "split", "frame", "place"), *rows])
    return LayoutCase(table, named(lambda _split, _label, person, other: f"clips/{person}{other}"))


LAYOUTS: dict[str, Callable[[Path], LayoutCase]] = {
    "plain-folders": plain_folders,
    "faceforensics": faceforensics,
    "deepfakebench": deepfakebench,
    "dfdc": dfdc,
    "manifest": manifest,
}
REAL = "original_sequences/youtube/c23"


def drawn() -> Iterator[tuple[str, str, str, str]]:
    """Yields split, label, person and, for a fake video, whose face was pasted."""
    for index, split in enumerate(SPLITS):
        people = [f"{10 * index + number:03d}" for number in range(PEOPLE)]
        for number, person in enumerate(people):
            yield split, "real", person, ""
            yield split, "fake", person, people[(number + 1) % PEOPLE]


def named(name: Callable[[str, str, str, str], str]) -> dict[str, dict[str, bool]]:
    videos: dict[str, dict[str, bool]] = {split: {} for split in SPLITS}
    for split, label, person, other in drawn():
        videos[split][name(split, label, person, other)] = bool(other)
    return videos


def ff_name(person: str, other: str) -> str:
    return f"Deepfakes/c23/{person}_{other}" if other else f"youtube/c23/{person}"


def write_frames(folder: Path, other: str) -> None:
    for index in range(FRAMES):
        write(folder / f"{index:03d}.png", other)


def write(path: Path, other: str) -> None:
    """Writes an image that is as different from others as their names are."""
    write_image(path, np.random.default_rng(list(f"{path.parent.name}/{path.name}".encode())), fake=bool(other))
