"""Labelled frames, the videos and identities they come from, and the digest of a set of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from export.errors import DataError
from export.sidecar import sha256_of_file, sha256_of_json

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Sample:
    """One face image.

    Attributes:
        path: The image file.
        is_fake: Its label.
        video: The video it was cut from, as `folder/name`, unique in the data set.
        identities: Every person in it: target and source of a face swap, one for a real video.
        frame: What it shares with other faces of the same frame; empty if it is the frame's only one.
        attributes: Column -> value of what a test set can be sliced by, sorted by column.
    """

    path: Path
    is_fake: bool
    video: str
    identities: tuple[str, ...]
    frame: str = ""
    attributes: tuple[tuple[str, str], ...] = ()

    @property
    def video_name(self) -> str:
        """The video without its folder, as the report shows it."""
        return self.video.rsplit("/", 1)[-1]


@dataclass(frozen=True)
class FacelessVideo:
    """A labelled video in whose frames no face was found.

    Attributes:
        video: `folder/name`, unique in the data set.
        is_fake: Its label.
        identities: Every person in it, as far as its name tells.
        attributes: Column -> value of what a test set can be sliced by, sorted by column.
        split: The part of the data set that it belongs to; empty if it has none.
    """

    video: str
    is_fake: bool
    identities: tuple[str, ...]
    attributes: tuple[tuple[str, str], ...] = ()
    split: str = ""


@dataclass(frozen=True)
class SampleSet:
    """Samples in a fixed order under one root folder.

    Attributes:
        root: Folder of the data set; images may also lie elsewhere.
        samples: The images.
        faceless: Videos of the set that have no image.
        notes: What a user should know of the set: what was skipped and why, duplicates.
    """

    root: Path
    samples: tuple[Sample, ...]
    faceless: tuple[FacelessVideo, ...] = ()
    notes: tuple[str, ...] = ()

    @cached_property
    def sha256(self) -> str:
        """Digest of names, labels and file contents; independent of where the root lies.

        Columns to slice by do not enter, because scores stay true without them. Frames with several faces and faceless
        videos do where there are any.
        """
        samples = sorted(
            [
                path_from_root(s.path, self.root),
                s.is_fake,
                s.video,
                sha256_of_file(s.path),
                *([s.frame] if s.frame else []),
            ]
            for s in self.samples
        )
        if not self.faceless:
            return sha256_of_json(samples)
        faceless = sorted([f.video, f.is_fake] for f in self.faceless)
        return sha256_of_json({"samples": samples, "faceless": faceless})

    @property
    def videos(self) -> frozenset[str]:
        """The videos of all samples."""
        return frozenset(s.video for s in self.samples)

    @property
    def identities(self) -> frozenset[str]:
        """Every identity of all samples."""
        return frozenset(name for s in self.samples for name in s.identities)

    @property
    def fake_count(self) -> int:
        """Number of fake samples."""
        return sum(s.is_fake for s in self.samples)

    @property
    def real_count(self) -> int:
        """Number of real samples."""
        return len(self.samples) - self.fake_count


def path_from_root(path: Path, root: Path) -> str:
    """Returns how scores and digests name an image: relative to the root if it lies there, else by its whole path."""
    return (path.relative_to(root) if path.is_relative_to(root) else path).as_posix()


def require_both_classes(samples: SampleSet, purpose: str) -> None:
    """Refuses a set in which one class is empty.

    Raises:
        DataError: There is no fake or no real sample.
    """
    if samples.fake_count == 0 or samples.real_count == 0:
        raise DataError(
            f"the {purpose} set {samples.root} has {samples.real_count} real and {samples.fake_count} fake images; "
            "both classes are needed"
        )


class Origins(Protocol):
    """Where images come from: a sample set, or the record of one."""

    @property
    def videos(self) -> frozenset[str]:
        """Videos that they were cut from."""
        ...

    @property
    def identities(self) -> frozenset[str]:
        """Persons that they show."""
        ...


def require_disjoint(chosen: Origins, test: Origins, purpose: str = "calibration") -> None:
    """Refuses a test set that shares a video or a person with images that something was chosen by.

    Args:
        chosen: Where those images come from.
        test: Where the test set comes from.
        purpose: What the images are for: `calibration` or `validation`.

    Raises:
        DataError: They overlap; the message names examples.
    """
    verb = {"calibration": "calibrate", "validation": "validate"}[purpose]
    videos = sorted(chosen.videos & test.videos)
    if videos:
        raise DataError(
            f"{purpose} and test set share {len(videos)} videos, such as {videos[0]}; {verb} on other videos, or the "
            "reported accuracy is not that of unseen data; if only their names are the same, rename those of one set"
        )
    people = sorted(chosen.identities & test.identities)
    if people:
        raise DataError(
            f"{purpose} and test set share {len(people)} identities, such as {people[0]}; {verb} on other people, "
            "or, if only their names are the same, rename those of one set"
        )
