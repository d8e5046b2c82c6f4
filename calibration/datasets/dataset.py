"""One door to all layouts of data sets."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from calibration.datasets.media import MediaSet, Purpose
    from calibration.samples import SampleSet


def media_from_path(path: Path) -> MediaSet:
    """Recognises the layout of a folder, a manifest or a list and tells what it holds, in all of its splits.

    Raises:
        DataError: There is nothing, several layouts fit, a label contradicts another one, or no layout fits; the
            message lists those that are known.
    """
    raise NotImplementedError


def samples_from_path(path: Path, purpose: Purpose, split: str | None = None) -> SampleSet:
    """Returns the face images of a data set that may be used for a purpose.

    Args:
        path: A folder, a CSV or JSONL manifest, or a JSON list of DeepfakeBench.
        purpose: Where the data set has splits, `test` takes its test split, `calibration` its training split and
            `validation` its validation split, or else what is not in the test split.
        split: The split to take instead, `all` for every one.

    Raises:
        DataError: As for `media_from_path`; or the split is unknown or empty, or it holds videos that faces must be
            cut out of first; the message says by which command.
    """
    raise NotImplementedError
