"""Which CUDA a TensorRT package was built for, as its distributions tell it: nothing is imported for that."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, distribution

# Oldest driver for each major version of CUDA: TensorRT 11.4, Prerequisites; for CUDA 11, its own release notes.
DRIVERS = {11: "450 or later", 12: "535 or later", 13: "580 or later"}
_MAJORS = (11, 12, 13, 14)
_CUDA_OF_REQUIREMENT = re.compile(r"nvidia[-_]cuda[-_]runtime[-_]cu(\d+)", re.IGNORECASE)


def cuda_major_of(package: str) -> int | None:
    """Returns the major version of CUDA that an installed package needs.

    Wheels carry it in the name of the distribution that holds the libraries, such as `tensorrt_rtx_cu13`; those of
    TensorRT 8.6 in what they require. Other installations, such as JetPack's, do not tell.

    Args:
        package: `tensorrt_rtx` or `tensorrt`.

    Returns:
        The least one that is installed, or None if that is not known.
    """
    named = [major for major in _MAJORS if _requirements(f"{package}_cu{major}") is not None]
    required = [int(found[1]) for text in _requirements(package) or () if (found := _CUDA_OF_REQUIREMENT.match(text))]
    return min(named or required, default=None)


def _requirements(name: str) -> list[str] | None:
    """Returns what a distribution requires; None if it is not installed."""
    try:
        return list(distribution(name).requires or ())
    except PackageNotFoundError:
        return None
