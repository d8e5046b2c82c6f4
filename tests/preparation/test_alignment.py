from __future__ import annotations

import secrets

import numpy as np
import pytest
from PIL import Image

import preparation.crop
from export.errors import DataError
from export.face_contract import FaceContract
from preparation.alignment import TEMPLATE, similarity
from preparation.crop import crop_of_face
from preparation.face import Face
from preparation.yunet import YuNet
from tests.preparation.photo_frames import detector_path, photo_frame

cv2 = pytest.importorskip("cv2")
FRESH = pytest.param(secrets.randbelow(1 << 32), id="fresh")
SEEDS = pytest.mark.parametrize("seed", [0, FRESH])
ALIGNED = FaceContract(margin=0.15, aligned=True)


def turned(points: np.ndarray, degrees: float, scale: float, shift: tuple[float, float]) -> np.ndarray:
    radians = np.radians(degrees)
    turn = np.array([[np.cos(radians), -np.sin(radians)], [np.sin(radians), np.cos(radians)]])
    return scale * points @ turn.T + shift


def least_squares(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Without a mirror, x' = a x - b y + c and y' = b x + a y + d are linear in a, b, c, d."""
    x, y, one, none = source[:, 0], source[:, 1], np.ones(len(source)), np.zeros(len(source))
    system = np.concatenate([np.stack([x, -y, one, none], axis=1), np.stack([y, x, none, one], axis=1)])
    a, b, c, d = np.linalg.lstsq(system, target.T.reshape(-1), rcond=None)[0]
    return np.array([[a, -b, c], [b, a, d]])


def face_at(landmarks: np.ndarray) -> Face:
    low, high = landmarks.min(axis=0), landmarks.max(axis=0)
    return Face(*low, *(high - low), landmarks=tuple(map(tuple, landmarks.tolist())))


@SEEDS
def test_similarity_is_the_least_squares_solution(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(20):
        count = int(rng.integers(2, 9))
        source, target = rng.normal(size=(count, 2)) * 50, rng.normal(size=(count, 2)) * 80
        if count > 2:  # as of a face: some transform, and noise about it
            target = turned(source, rng.uniform(-180, 180), rng.uniform(0.1, 9), (30, -70)) + rng.normal(
                size=(count, 2)
            )
        assert similarity(source, target) == pytest.approx(least_squares(source, target), abs=1e-8)


@SEEDS
def test_similarity_is_that_of_opencv(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(10):
        target = turned(TEMPLATE, rng.uniform(-180, 180), rng.uniform(5, 500), tuple(rng.uniform(-100, 900, 2)))
        theirs, _ = cv2.estimateAffinePartial2D(TEMPLATE, target)
        assert similarity(TEMPLATE, target) == pytest.approx(theirs, rel=1e-3, abs=1e-3)


def test_a_mirrored_face_is_not_mirrored_back() -> None:
    matrix = similarity(TEMPLATE, TEMPLATE * (-1, 1))
    assert np.linalg.det(matrix[:, :2]) > 0


@SEEDS
def test_the_crop_is_what_opencv_warps_by_the_published_template(seed: int) -> None:
    """DeepfakeBench's cut: the template of 112 pixels, enlarged to 256, widened by 1.3 about the centre."""
    rng = np.random.default_rng(seed)
    template = np.array(
        [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
    )
    published = (template * 256 / 112 - 128) / 1.3 + 128
    # The same with the centres of pixels at halves, which an enlargement about the corner leaves where they are.
    target = ((template + 0.5) * 256 / 112 - 128) / 1.3 + 128 - 0.5
    assert abs(target - published).max() < 0.4
    for degrees in (0.0, 90.0, *rng.uniform(-180, 180, 3)):
        size = rng.uniform(150, 400)
        landmarks = turned(TEMPLATE - 0.5, degrees, size, (300, 280))
        # So far from the template, as in profile, that it matters which of the two is taken to the other.
        landmarks += rng.normal(size=(5, 2)) * size / 12
        ground = Image.fromarray(rng.integers(0, 256, (12, 12, 3), dtype=np.uint8))
        frame = np.asarray(ground.resize((600, 560), Image.Resampling.BICUBIC))
        crop = crop_of_face(frame, face_at(landmarks), ALIGNED)
        matrix = least_squares(landmarks - 0.5, target)
        assert crop.width == crop.height == pytest.approx(256 / np.hypot(*matrix[:, 0]), abs=0.51)
        ours = np.asarray(crop.resize((256, 256), Image.Resampling.BICUBIC)).astype(int)
        # OpenCV counts from the centre of the first pixel, for which half a pixel was taken off above.
        theirs = cv2.warpAffine(frame, matrix, (256, 256), flags=cv2.INTER_LINEAR).astype(int)
        inside = cv2.warpAffine(np.full_like(frame, 255), matrix, (256, 256)).min(axis=2) == 255
        inside = cv2.erode(inside.astype(np.uint8), np.ones((7, 7), dtype=np.uint8)) > 0
        assert inside.mean() > 0.2
        # What remains is that one is sampled twice.
        assert np.abs(ours - theirs)[inside].mean() < 1


@SEEDS
def test_landmarks_of_a_turned_face_come_to_the_same_places(seed: int) -> None:
    """Dots drawn at the landmarks of a turned face are found at the template's places."""
    rng = np.random.default_rng(seed)
    for margin in (0.0, 0.15, 0.8):
        size = rng.uniform(120, 200)
        landmarks = turned(TEMPLATE - 0.5, rng.uniform(-180, 180), size, (200, 200))
        for k in range(5):
            frame = np.zeros((400, 400, 3), dtype=np.uint8)
            cv2.circle(
                frame, tuple(round(16 * (n - 0.5)) for n in landmarks[k]), 16 * 3, (255,) * 3, -1, cv2.LINE_AA, 4
            )
            crop = np.asarray(crop_of_face(frame, face_at(landmarks), FaceContract(margin=margin, aligned=True)))
            rows, columns = np.mgrid[: crop.shape[0], : crop.shape[1]] + 0.5
            weights = crop[:, :, 0].astype(float)
            found = np.array([(weights * columns).sum(), (weights * rows).sum()]) / weights.sum() / crop.shape[0]
            assert found == pytest.approx((TEMPLATE[k] + margin) / (1 + 2 * margin), abs=0.5 / crop.shape[0])


def test_an_upright_face_on_whole_pixels_is_not_resampled() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8)
    crop = crop_of_face(frame, face_at(TEMPLATE * 112 + (60, 70)), FaceContract(margin=0, aligned=True))
    assert abs(np.asarray(crop).astype(int) - frame[70:182, 60:172]).max() <= 1


def test_detected_faces_come_out_upright_and_in_one_place() -> None:
    detector = YuNet(detector_path())
    drawn = photo_frame(np.random.default_rng(1), (900, 600), (60, 120))
    faces = detector.faces("any", 0, drawn.pixels)[: len(drawn.faces)]
    assert len(faces) > 1
    for face in faces:
        crop = crop_of_face(drawn.pixels, face, FaceContract(margin=0.5, aligned=True))
        again = detector.faces("any", 0, np.asarray(crop))[0]
        assert np.array(again.landmarks) / crop.width == pytest.approx((TEMPLATE + 0.5) / 2, abs=0.04)


def test_a_huge_face_is_shrunk_to_the_largest_crop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparation.crop, "LARGEST_CROP", 512)
    frame = np.full((100, 100, 3), 255, dtype=np.uint8)
    crop = crop_of_face(frame, face_at(TEMPLATE * 2000 - 1000), FaceContract(margin=0, aligned=True))
    assert crop.size == (512, 512)
    left, top, right, bottom = crop.getbbox() or (0, 0, 0, 0)
    for edge, expected in ((left, 1000), (top, 1000), (right, 1100), (bottom, 1100)):
        assert edge == pytest.approx(expected * 512 / 2000, abs=1)


def unlike_any_face() -> tuple[tuple[float, float], ...]:
    """Returns points that correlate with the template in no direction."""
    centred = TEMPLATE - TEMPLATE.mean(axis=0)
    basis = np.linalg.svd(np.column_stack([centred, np.ones(5)]))[0][:, 3:]
    return tuple(map(tuple, (basis * 20 + 50).tolist()))


def test_what_cannot_be_aligned_is_refused() -> None:
    frame = np.zeros((100, 100, 3), dtype=np.uint8)
    with pytest.raises(DataError, match="needs the five landmarks of each face"):
        crop_of_face(frame, Face(10, 10, 20, 20), ALIGNED)
    # One point; and such that every turn fits them equally badly, as of a template that is mirrored.
    for landmarks in (((15.0, 15.0),) * 5, unlike_any_face()):
        with pytest.raises(DataError, match="are not those of a face; check the table of boxes"):
            crop_of_face(frame, Face(10, 10, 20, 20, landmarks=landmarks), ALIGNED)
    far = tuple((x + 500, y) for x, y in (TEMPLATE * 40).tolist())
    with pytest.raises(DataError, match="lie outside of their frame of 100 x 100"):
        crop_of_face(frame, Face(10, 10, 20, 20, landmarks=far), ALIGNED)
