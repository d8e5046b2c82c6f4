"""The ways to know where the faces are: a detector, a table of boxes, or frames that are faces already."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from preparation.face import FaceFinder


def finder_from_options(detector: Path | None, boxes: Path | None) -> FaceFinder | None:
    """Returns the finder asked for: a YuNet ONNX file, a CSV of boxes, or None for frames that are faces already.

    Raises:
        DataError: Both are given, or a file is missing or not what it should be.
        BackendError: onnxruntime is missing.
    """
    raise NotImplementedError
