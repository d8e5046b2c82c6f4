"""The ways to know where the faces are: a detector, a table of boxes, or frames that are faces already."""

from __future__ import annotations

from typing import TYPE_CHECKING

from export.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

    from preparation.face import FaceFinder


def finder_from_options(detector: Path | None, boxes: Path | None) -> FaceFinder | None:
    """Returns the finder asked for: a YuNet ONNX file, a CSV of boxes, or None for frames that are faces already.

    Raises:
        DataError: Both are given, or a file is missing or not what it should be.
        BackendError: onnxruntime is missing.
    """
    if detector is not None and boxes is not None:
        raise DataError(f"faces are to be found by {detector} and to be read from {boxes}; expected one of the two")
    if detector is not None:
        from preparation.yunet import YuNet

        return YuNet(detector)
    if boxes is not None:
        from preparation.boxes import BoxTable

        return BoxTable(boxes)
    return None
