from __future__ import annotations

import hashlib
import secrets
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnx.parser
import pytest

from export.errors import BackendError, DataError
from preparation import yunet
from preparation.face import Face, overlap
from preparation.face_finders import finder_from_options
from preparation.yunet import Candidates, YuNet, decoded, fitted, surest
from tests.preparation.photo_frames import detector_path, photo_frame

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

cv2 = pytest.importorskip("cv2")
FRESH = pytest.param(secrets.randbelow(1 << 32), id="fresh")


@pytest.fixture(scope="module")
def detector() -> YuNet:
    return YuNet(detector_path())


@cache
def opencv_detector() -> Any:
    return cv2.FaceDetectorYN.create(str(detector_path()), "", (640, 640), 0.5, 0.3, 5000)


def faces_of_opencv(frame: NDArray[np.uint8]) -> list[Face]:
    """Returns what OpenCV's own implementation finds, the frame being padded to the size of the file's input."""
    padded = np.zeros((640, 640, 3), dtype=np.uint8)
    padded[: frame.shape[0], : frame.shape[1]] = frame[:, :, ::-1]
    found = opencv_detector().detect(padded)[1]
    return [
        Face(*map(float, row[:4]), score=float(row[14]), landmarks=tuple(map(tuple, row[4:14].reshape(5, 2).tolist())))
        for row in (() if found is None else found)
    ]


@pytest.mark.parametrize("seed", [0, FRESH])
def test_finds_what_opencv_finds(detector: YuNet, seed: int) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(4):
        drawn = photo_frame(rng, (int(rng.integers(300, 641)), int(rng.integers(300, 641))), (24, 200))
        ours = [face for face in detector.faces("any", 0, drawn.pixels) if face.score >= 0.5]
        theirs = faces_of_opencv(drawn.pixels)
        assert len(ours) == len(theirs) >= len(drawn.faces) - 1
        assert [face.area for face in ours] == sorted((face.area for face in ours), reverse=True)
        for face in ours:
            same = max(theirs, key=lambda other: overlap(face, other))
            assert (face.left, face.top, face.width, face.height) == pytest.approx(
                (same.left, same.top, same.width, same.height), abs=0.05
            )
            assert face.score == pytest.approx(same.score, abs=1e-3)
            assert np.array(face.landmarks) == pytest.approx(np.array(same.landmarks), abs=0.05)


@pytest.mark.parametrize("seed", [0, FRESH])
def test_frames_of_every_size_give_the_faces_that_were_pasted(detector: YuNet, seed: int) -> None:
    rng = np.random.default_rng(seed)
    for size in ((1920, 1080), (1080, 1920), (641, 640)):
        least = 0.06 * max(size)
        drawn = photo_frame(rng, size, (least, 4 * least))
        found = [face for face in detector.faces("any", 0, drawn.pixels) if face.score >= 0.6]
        assert len(found) == len(drawn.faces)
        for x, y, width in drawn.faces:
            face = min(
                found, key=lambda face: abs(face.left + face.width / 2 - x) + abs(face.top + face.height / 2 - y)
            )
            assert face.left + face.width / 2 == pytest.approx(x, abs=0.25 * width)
            assert face.top + face.height / 2 == pytest.approx(y, abs=0.25 * width)
            assert face.width == pytest.approx(width, rel=0.4)
            right_eye, left_eye, nose, right_mouth, left_mouth = face.landmarks
            assert right_eye[0] < nose[0] < left_eye[0]
            assert right_mouth[0] < left_mouth[0]
            assert max(right_eye[1], left_eye[1]) < nose[1] < min(right_mouth[1], left_mouth[1])


def test_noise_and_the_smallest_frame_have_no_face(detector: YuNet) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (400, 500, 3), dtype=np.uint8)
    assert not [face for face in detector.faces("any", 0, noise) if face.score >= 0.5]
    assert detector.faces("any", 0, np.zeros((1, 1, 3), dtype=np.uint8)) == ()
    assert detector.faces("any", 0, np.zeros((1, 5000, 3), dtype=np.uint8)) == ()


def test_threads_find_the_same(detector: YuNet) -> None:
    rng = np.random.default_rng(1)
    frames = [photo_frame(rng, (400, 400), (40, 150)).pixels for _ in range(3)] * 3
    alone = [detector.faces("any", 0, frame) for frame in frames]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda frame: detector.faces("any", 0, frame), frames)) == alone


@pytest.mark.parametrize("seed", [0, FRESH])
def test_candidates_are_decoded_cell_by_cell(seed: int) -> None:
    """Two cells of each grid hold a face; where it lies is told by the publication's formula, written out."""
    rng = np.random.default_rng(seed)
    height, width = 64, 96
    outputs, expected = {}, []
    for stride in (8, 16, 32):
        cells = (height // stride) * (width // stride)
        values = {
            kind: rng.normal(size=(1, cells, size)).astype(np.float32) for kind, size in (("bbox", 4), ("kps", 10))
        }
        values |= {kind: rng.uniform(0, 0.09, (1, cells, 1)).astype(np.float32) for kind in ("cls", "obj")}
        for cell in rng.choice(cells, 2, replace=False):
            values["cls"][0, cell], values["obj"][0, cell] = rng.uniform(0.3, 1, 2)
            row, column = cell // (width // stride), cell % (width // stride)
            across, down, wide, high = values["bbox"][0, cell].tolist()
            sides = np.exp([wide, high])
            corner = np.array([column + across, row + down]) - sides / 2
            expected.append(
                [*corner * stride, *sides * stride]
                + [(values["kps"][0, cell, k] + (column, row)[k % 2]) * stride for k in range(10)]
                + [float(values["cls"][0, cell, 0] * values["obj"][0, cell, 0]) ** 0.5]
            )
        outputs |= {f"{kind}_{stride}": array for kind, array in values.items()}
    found = decoded(outputs, width)
    rows = np.concatenate([found.boxes, found.points.reshape(-1, 10), found.scores[:, None]], axis=1)
    assert rows[np.argsort(rows[:, -1])] == pytest.approx(np.array(sorted(expected, key=lambda row: row[-1])), rel=1e-4)


@pytest.mark.parametrize("seed", [0, FRESH])
def test_of_overlapping_candidates_the_surest_stay_as_in_opencv(seed: int) -> None:
    rng = np.random.default_rng(seed)
    boxes = np.concatenate([rng.uniform(0, 200, (300, 2)), rng.uniform(20, 80, (300, 2))], axis=1).astype(np.float32)
    scores = rng.uniform(0.1, 1, 300).astype(np.float32)
    candidates = Candidates(boxes, np.zeros((300, 5, 2), dtype=np.float32), scores)
    assert surest(candidates) == cv2.dnn.NMSBoxes(boxes.astype(float).tolist(), scores.tolist(), 0.0, 0.3).tolist()


def test_the_input_is_blue_first_and_keeps_the_aspect() -> None:
    frame = np.full((200, 400, 3), (10, 20, 30), dtype=np.uint8)
    values, scale = fitted(frame, 160, 160)
    assert scale.tolist() == [0.4, 0.4]
    assert (values[0, :, :80] == np.array([30, 20, 10]).reshape(3, 1, 1)).all()
    assert (values[0, :, 80:] == 0).all()
    assert fitted(frame, 640, 640)[1].tolist() == [1.0, 1.0]


def test_the_finder_is_named_by_its_file() -> None:
    finder = finder_from_options(detector_path(), None)
    assert isinstance(finder, YuNet)
    assert finder.name == "yunet"
    assert finder.sha256 == hashlib.sha256(detector_path().read_bytes()).hexdigest()


OTHER_OUTPUTS = """
<ir_version: 8, opset_import: ["": 17]>
other (float[1, 3, 64, 64] images) => (float[1, 3, 64, 64] scores) { scores = Relu (images) }
"""
FLAT_INPUT = OTHER_OUTPUTS.replace("1, 3, 64, 64", "1, 64")


def yunet_like(cells: int) -> str:
    """Returns a graph that has YuNet's names, and as many cells at stride 8 as is said."""
    sizes = {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}
    shapes = {
        f"{kind}_{stride}": (1, cells if stride == 8 else (64 // stride) ** 2, size)
        for kind, size in sizes.items()
        for stride in (8, 16, 32)
    }
    outputs = ", ".join(f"float[{a}, {b}, {c}] {name}" for name, (a, b, c) in shapes.items())
    shape_of = "\n".join(
        f"s_{name} = Constant <value = int64[3] {{{a}, {b}, {c}}}> ()\n{name} = Expand (zero, s_{name})"
        for name, (a, b, c) in shapes.items()
    )
    return f"""
<ir_version: 8, opset_import: ["": 17]>
like (float[1, 3, 64, 64] images) => ({outputs})
{{
axes = Constant <value = int64[4] {{0, 1, 2, 3}}> ()
least = ReduceMin <keepdims = 0> (images)
zero = Sub (least, least)
{shape_of}
}}
"""


@pytest.mark.parametrize(
    ("graph", "told"),
    [
        (OTHER_OUTPUTS, "it returns scores; expected cls_8"),
        (FLAT_INPUT, r"it takes \[\('images', \[1, 64\]\)\]; expected one batch"),
        (yunet_like(63), r"its output cls_8 has shape \(1, 63, 1\); expected \(1, 64, 1\)"),
    ],
)
def test_another_network_is_refused(graph: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "other.onnx"
    onnx.save(onnx.parser.parse_model(graph), path)
    with pytest.raises(DataError, match=told) as refusal:
        finder_from_options(path, None)
    assert "\n" not in str(refusal.value)
    assert "face_detection_yunet_2023mar.onnx" in str(refusal.value)


def test_a_file_of_another_input_size_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "small.onnx"
    onnx.save(onnx.parser.parse_model(yunet_like(64)), path)
    assert YuNet(path).faces("any", 0, np.zeros((100, 200, 3), dtype=np.uint8)) == ()


def test_what_is_no_onnx_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "detector.onnx"
    with pytest.raises(DataError, match=r"no face detector at .*; pass face_detection_yunet"):
        finder_from_options(path, None)
    for content in (b"", b"<html>not found</html>", detector_path().read_bytes()[:100_000]):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"detector\.onnx.*; pass face_detection_yunet") as refusal:
            finder_from_options(path, None)
        assert "\n" not in str(refusal.value)


def test_without_onnxruntime_the_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object, **__: object) -> None:
        raise BackendError("ONNX Runtime is not installed; run: pip install 'engine-signoff[cpu]'")

    monkeypatch.setattr(yunet, "session_from_model", missing)
    monkeypatch.setattr(yunet, "find_spec", lambda _: None)
    with pytest.raises(BackendError, match=r"engine-signoff\[cpu\]"):
        finder_from_options(detector_path(), None)
