"""Errors that the person at the keyboard can mend; anything else keeps its traceback."""

from __future__ import annotations


class SignoffError(Exception):
    """A mistake in the input or the environment: one line that says what was got, expected and to do next.

    Commands print it without a traceback and exit with code 2.
    """


class ContractError(SignoffError):
    """The model file is missing, unreadable or contradicts itself."""


class CheckpointError(SignoffError):
    """The checkpoint cannot be read safely or does not fit the declared architecture."""


class ArtifactError(SignoffError):
    """A file of the run folder does not match what its sidecar says."""


class ImageError(SignoffError):
    """An image file is missing or does not decode."""


class VideoError(SignoffError):
    """A video file is missing, damaged or holds no video."""


class DataError(SignoffError):
    """A data set is empty, one-sided, mislabelled or overlaps another one."""


class ParityError(SignoffError):
    """Two representations of one model disagree by more than the stated tolerance."""


class BackendError(SignoffError):
    """A backend is missing, refuses a model or fails while it builds or runs one."""


class VariantError(SignoffError):
    """A variant name does not follow the grammar or names something this release cannot build."""
