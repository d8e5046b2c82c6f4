"""Faces found by YuNet, a small detector that the user supplies as an ONNX file."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from export.errors import BackendError, DataError
from export.runners import session_from_model
from preparation.face import Face, largest_first

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

STRIDES = (8, 16, 32)
# Values of each cell in the outputs cls_8, obj_8, bbox_8, kps_8, cls_16 ...
_VALUES = {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}
# Height and width where the file leaves them open; that of 2023mar is fixed to them.
_USUAL_SIZE = 640
# What scores less is not returned, whatever the model file asks for: hardly any of it is a face.
LEAST_SCORE = 0.1
# Boxes that share more with a surer one, as intersection over union, are the same face; OpenCV's choice for YuNet.
MOST_OVERLAP = 0.3
_ADVICE = "pass face_detection_yunet_2023mar.onnx of the OpenCV Zoo"


@dataclass(frozen=True, eq=False)
class Candidates:
    """What one run of the network proposes, in pixels of its input.

    Attributes:
        boxes: Left, top, width and height, shape (N, 4).
        points: The five landmarks, shape (N, 5, 2).
        scores: Confidences, shape (N,).
    """

    boxes: NDArray[np.float32]
    points: NDArray[np.float32]
    scores: NDArray[np.float32]


class YuNet:
    """YuNet (Wu et al., "YuNet: A Tiny Millisecond-level Face Detector", Machine Intelligence Research 2023).

    Runs on one thread of the CPU, so that the faces do not depend on the machine's cores; may be called by several
    threads at once. Frames larger than the network's input are shrunk to fit, their aspect kept; smaller ones are not
    enlarged. With an input of 640 pixels, that finds faces from a twentieth of the frame's longer side to all of it.
    """

    name = "yunet"

    def __init__(self, path: Path) -> None:
        """Loads the file and runs it once.

        Raises:
            DataError: The file is missing or is not YuNet.
            BackendError: ONNX Runtime is not installed.
        """
        if not path.is_file():
            raise DataError(f"no face detector at {path}; {_ADVICE}")
        content = path.read_bytes()
        self.sha256 = hashlib.sha256(content).hexdigest()
        try:
            self._session = session_from_model(content, threads=1, name=str(path))
        except BackendError as error:
            if find_spec("onnxruntime") is None:
                raise
            raise DataError(f"{error}; {_ADVICE}") from error
        self._input, self._height, self._width = _input_of(self._session, path)
        self._outputs = [f"{kind}_{stride}" for kind in _VALUES for stride in STRIDES]
        self._try(path)

    def faces(self, video: str, index: int, frame: NDArray[np.uint8]) -> tuple[Face, ...]:
        """Returns the faces of an RGB frame of shape (height, width, 3), the largest first; its origin is not used."""
        image, scale = fitted(frame, self._height, self._width)
        candidates = decoded(self._run(image), self._width)
        boxes, points = candidates.boxes / np.tile(scale, 2), candidates.points / scale
        faces = [_face(boxes[best], points[best], candidates.scores[best]) for best in surest(candidates)]
        height, width = frame.shape[:2]
        return largest_first(face for face in faces if face.is_within(width, height))

    def _run(self, image: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        return dict(zip(self._outputs, self._session.run(self._outputs, {self._input: image}), strict=True))

    def _try(self, path: Path) -> None:
        found = {output.name for output in self._session.get_outputs()}
        if not found.issuperset(self._outputs):
            raise DataError(
                f"{path} is not YuNet of 2023: it returns {', '.join(sorted(found))[:100]}; expected "
                f"{', '.join(self._outputs)}; {_ADVICE}"
            )
        try:
            outputs = self._run(np.zeros((1, 3, self._height, self._width), dtype=np.float32))
        except Exception as error:
            # ONNX Runtime's exceptions share no public base class besides Exception.
            raise DataError(f"{path} does not run: {' '.join(str(error).split())[:300]}; {_ADVICE}") from error
        for (kind, values), stride in ((item, stride) for item in _VALUES.items() for stride in STRIDES):
            expected = (1, (self._height // stride) * (self._width // stride), values)
            shape = outputs[f"{kind}_{stride}"].shape
            if shape != expected:
                raise DataError(
                    f"{path} is not YuNet of 2023: its output {kind}_{stride} has shape {shape}; expected {expected}; "
                    f"{_ADVICE}"
                )


def fitted(frame: NDArray[np.uint8], height: int, width: int) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Returns a frame as the network's input, and by how much it was scaled.

    Args:
        frame: RGB pixels, shape (h, w, 3).
        height: Height of the input.
        width: Width of the input.

    Returns:
        BGR values 0 to 255, shape (1, 3, height, width), the frame in the left upper corner and black around; and the
        horizontal and vertical scale, at most 1.
    """
    rows, columns = frame.shape[:2]
    scale = min(1.0, height / rows, width / columns)
    image = Image.fromarray(frame)
    if scale < 1:
        image = image.resize(
            (max(1, round(columns * scale)), max(1, round(rows * scale))), Image.Resampling.BILINEAR, reducing_gap=3.0
        )
    values = np.zeros((1, 3, height, width), dtype=np.float32)
    values[0, :, : image.height, : image.width] = np.asarray(image)[:, :, ::-1].transpose(2, 0, 1)
    return values, np.array([image.width / columns, image.height / rows])


def decoded(outputs: Mapping[str, NDArray[np.float32]], width: int) -> Candidates:
    """Returns the faces that the network's outputs stand for, where they score at least `LEAST_SCORE`.

    Each cell of a grid of 8, 16 or 32 pixels holds the probability of a face, that of an object whose box overlaps it
    well, the centre of its box and its landmarks as offsets from the cell's corner, and the logarithm of the box's
    sides, all in units of the grid. The score is the geometric mean of the two probabilities.

    Args:
        outputs: Name -> values of each cell, the grid's rows one after the other, shape (1, cells, values).
        width: Width of the network's input.
    """
    boxes, points, scores = [], [], []
    for stride in STRIDES:
        face, well_placed = (np.clip(outputs[f"{kind}_{stride}"][0, :, 0], 0, 1) for kind in ("cls", "obj"))
        score = np.sqrt(face * well_placed)
        kept = np.flatnonzero(score >= LEAST_SCORE)
        rows, columns = np.divmod(kept, width // stride)
        cells = np.stack([columns, rows], axis=1).astype(np.float32)
        box, offsets = outputs[f"bbox_{stride}"][0, kept], outputs[f"kps_{stride}"][0, kept]
        sides = np.exp(box[:, 2:])
        boxes.append(np.concatenate([cells + box[:, :2] - sides / 2, sides], axis=1) * stride)
        points.append((cells[:, None] + offsets.reshape(-1, 5, 2)) * stride)
        scores.append(score[kept])
    return Candidates(np.concatenate(boxes), np.concatenate(points), np.concatenate(scores))


def surest(candidates: Candidates) -> list[int]:
    """Returns the candidates that no surer one overlaps by more than `MOST_OVERLAP`, the surest first."""
    corners = candidates.boxes[:, :2]
    ends = corners + candidates.boxes[:, 2:]
    areas = candidates.boxes[:, 2:].prod(axis=1)
    left = np.argsort(-candidates.scores, kind="stable")
    best = []
    while left.size:
        first, others = left[0], left[1:]
        best.append(int(first))
        shared = np.minimum(ends[first], ends[others]) - np.maximum(corners[first], corners[others])
        area = np.maximum(shared, 0).prod(axis=1)
        left = others[area <= MOST_OVERLAP * (areas[first] + areas[others] - area)]
    return best


def _input_of(session: Any, path: Path) -> tuple[str, int, int]:
    inputs = session.get_inputs()
    shape = list(inputs[0].shape) if len(inputs) == 1 else []
    if len(shape) != 4 or shape[1] != 3 or inputs[0].type != "tensor(float)":
        raise DataError(
            f"{path} is not YuNet: it takes {[(node.name, node.shape) for node in inputs]}; expected one batch of "
            f"pictures of shape (1, 3, 640, 640); {_ADVICE}"
        )
    height, width = (side if isinstance(side, int) and side > 0 else _USUAL_SIZE for side in shape[2:])
    return inputs[0].name, height, width


def _face(box: NDArray[np.float64], points: NDArray[np.float64], score: np.float32) -> Face:
    left, top, width, height = (float(number) for number in box)
    return Face(left, top, width, height, float(score), tuple((float(x), float(y)) for x, y in points))
