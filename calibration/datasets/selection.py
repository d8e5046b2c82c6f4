"""Which videos of a data set are used for what, and their face images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from calibration.samples import Sample, SampleSet
from export.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from calibration.datasets.media import MediaSet, Medium, Purpose

ALL_SPLITS = "all"
_KNOWN_AS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
_CANONICAL = {alias: name for name, aliases in _KNOWN_AS.items() for alias in aliases}
# How folders that are a part of a data set are called, in lower case.
SPLIT_NAMES = frozenset(_CANONICAL)
_OWN_SPLIT: dict[Purpose, str] = {"calibration": "train", "validation": "val", "test": "test"}


def canonical_split(name: str) -> str:
    """Returns `train`, `val` or `test` for the names that people give these, and other names in lower case."""
    lower = name.strip().lower()
    return _CANONICAL.get(lower, lower)


def split_test(root: object, names: Sequence[str], purpose: Purpose, split: str | None) -> Callable[[str], bool]:
    """Returns what tells whether videos of a split may be used for a purpose.

    Args:
        root: The data set, for messages.
        names: The splits of its videos; empty for a video that is in none.
        purpose: Where the data set has splits, `test` takes its test split, `calibration` its training split and
            `validation` its validation split, or else what is not in the test split.
        split: The split to take instead, `all` for every one.

    Raises:
        DataError: There is no such split, or none for the purpose.
    """
    known = {canonical_split(name) for name in names} - {""}
    remedy = f"pass --{purpose}-split with one of {', '.join((*sorted(known), ALL_SPLITS))}"
    if split is not None and canonical_split(split) != ALL_SPLITS:
        wanted = canonical_split(split)
        if wanted not in known:
            found = f"only {', '.join(sorted(known))}" if known else "no splits at all"
            raise DataError(f"{root} has no split {split!r} but {found}; {remedy}")
        return lambda name: canonical_split(name) == wanted
    own = _OWN_SPLIT[purpose]
    if split is not None or not known:
        return lambda _: True
    if own in known:
        return lambda name: canonical_split(name) == own
    if purpose == "test":
        raise DataError(f"{root} has no test split but only {', '.join(sorted(known))}; {remedy}")
    if all(canonical_split(name) == "test" for name in names):
        raise DataError(f"every video of {root} is a test video, so none is left for {purpose}; {remedy}")
    return lambda name: canonical_split(name) != "test"


def split_notes(media: Sequence[Medium], is_wanted: Callable[[str], bool], purpose: Purpose) -> tuple[str, ...]:
    """Returns a note on what was chosen for a purpose that nobody named a split for; none if that is everything.

    Args:
        media: The videos of the data set.
        is_wanted: What `split_test` returned.
        purpose: What the videos are for.
    """
    taken = [medium.split for medium in media if is_wanted(medium.split)]
    if len(taken) == len(media):
        return ()
    names = " and ".join(sorted({canonical_split(name) or "none" for name in taken}))
    counts = f"{len(taken)} of {len(media)} videos"
    return (f"{counts} taken, those of the split {names}; --{purpose}-split takes others",)


def samples_of_media(found: MediaSet, media: Sequence[Medium]) -> SampleSet:
    """Returns the images of some videos of a data set.

    Raises:
        DataError: There are none, or there are video files among them.
    """
    files = [medium.file for medium in media if medium.file is not None]
    if files:
        raise DataError(
            f"{found.root} holds video files (of {len(files)} of {len(media)} videos), such as {files[0].name}, and "
            f"engines take faces; cut those out once with 'prepare-data {found.root} OUT' and pass OUT"
        )
    if not media:
        raise DataError(f"{found.root} holds no images of faces" + "".join(f"; {note}" for note in found.notes))
    samples = tuple(
        Sample(image.path, medium.is_fake, medium.video, medium.identities, image.frame, medium.attributes)
        for medium in media
        for image in medium.images
    )
    return SampleSet(found.root, samples, notes=found.notes)
