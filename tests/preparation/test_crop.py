from __future__ import annotations

import secrets

import numpy as np
import pytest

import preparation.crop
from export.errors import DataError
from export.face_contract import FaceContract
from preparation.crop import crop_box, crop_of_face
from preparation.face import Face

FRESH = pytest.param(secrets.randbelow(1 << 32), id="fresh")
LARGEST = 256
SEEDS = pytest.mark.parametrize("seed", [0, FRESH])


def random_face(rng: np.random.Generator, width: int, height: int) -> Face:
    """Returns a face of which at least a pixel's breadth lies in the frame, now and then no more than that."""
    sides = rng.uniform(2, 80, 2)
    low, high = 1 - sides, np.array([width, height]) - 1
    place = rng.uniform(low, high)
    corner = np.where(rng.random(2) < 0.2, np.where(rng.random(2) < 0.5, low, high), place)
    return Face(*corner.tolist(), *sides.tolist())


def random_contract(rng: np.random.Generator, outside: str = "black") -> FaceContract:
    return FaceContract(
        margin=float(rng.choice([0, 0.125, 1 / 3, rng.uniform(0, 2)])),
        shape=str(rng.choice(["square", "box"])),  # type: ignore[arg-type]
        outside=outside,  # type: ignore[arg-type]
    )


@SEEDS
def test_the_crop_is_the_part_of_a_frame_with_black_around(seed: int) -> None:
    """The frame is padded by so much black that every crop lies inside of it, where it is a plain slice."""
    rng = np.random.default_rng(seed)
    for _ in range(25):
        frame = rng.integers(1, 256, (rng.integers(20, 90), rng.integers(20, 90), 3), dtype=np.uint8)
        face, contract = random_face(rng, frame.shape[1], frame.shape[0]), random_contract(rng)
        padded = np.pad(frame, ((260, 260), (260, 260), (0, 0)))
        left, top, right, bottom = (edge + 260 for edge in crop_box(face, contract))
        assert np.array_equal(np.asarray(crop_of_face(frame, face, contract)), padded[top:bottom, left:right])


@SEEDS
def test_cut_off_crops_hold_the_same_pixels_without_the_black(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(25):
        frame = rng.integers(1, 256, (rng.integers(20, 90), rng.integers(20, 90), 3), dtype=np.uint8)
        face, contract = random_face(rng, frame.shape[1], frame.shape[0]), random_contract(rng, "cut")
        black = FaceContract(margin=contract.margin, shape=contract.shape)
        crop, whole = (np.asarray(crop_of_face(frame, face, one)) for one in (contract, black))
        inside = whole.max(axis=2) > 0
        rows, columns = inside.any(axis=1), inside.any(axis=0)
        assert np.array_equal(crop, whole[rows][:, columns])


@SEEDS
def test_margins_are_shares_of_the_box_on_each_side(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(100):
        face, contract = random_face(rng, 500, 500), random_contract(rng)
        left, top, right, bottom = crop_box(face, contract)
        across, down = (max(face.width, face.height),) * 2 if contract.shape == "square" else (face.width, face.height)
        # Rounding a side and then the corner moves an edge by a pixel at most.
        for edge, middle, extent in (
            (left, face.left + face.width / 2, -across),
            (right, face.left + face.width / 2, across),
            (top, face.top + face.height / 2, -down),
            (bottom, face.top + face.height / 2, down),
        ):
            assert edge == pytest.approx(middle + extent * (0.5 + contract.margin), abs=1)
        assert right - left == pytest.approx(across * (1 + 2 * contract.margin), abs=0.5)
        assert (left + right) / 2 == pytest.approx(face.left + face.width / 2, abs=0.5)
        assert (top + bottom) / 2 == pytest.approx(face.top + face.height / 2, abs=0.5)
        if contract.shape == "square":
            assert right - left == bottom - top


def test_a_box_on_whole_pixels_is_cut_exactly() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    plain = crop_of_face(frame, Face(10, 20, 16, 24), FaceContract(margin=0, shape="box"))
    assert np.array_equal(np.asarray(plain), frame[20:44, 10:26])
    # +12.5 % a side, as SBI cuts; a square of the longer side, centred.
    assert crop_box(Face(10, 20, 16, 24), FaceContract(margin=0.125, shape="box")) == (8, 17, 28, 47)
    assert crop_box(Face(10, 20, 16, 24), FaceContract(margin=0.25)) == (0, 14, 36, 50)


@SEEDS
def test_a_shifted_frame_gives_the_same_crop(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(30):
        frame = rng.integers(0, 256, (70, 90, 3), dtype=np.uint8)
        # On halves, where rounding could go one way here and the other there.
        face, contract = Face(*(rng.integers(2, 120, 4) / 2).tolist()), random_contract(rng)
        across, down = (int(n) for n in rng.integers(1, 30, 2))
        shifted = np.pad(frame, ((down, 0), (across, 0), (0, 0)))
        moved = Face(face.left + across, face.top + down, face.width, face.height)
        assert crop_of_face(shifted, moved, contract) == crop_of_face(frame, face, contract)


def test_a_tiny_face_is_a_pixel() -> None:
    frame = np.arange(3 * 20 * 20, dtype=np.uint8).reshape(20, 20, 3)
    crop = crop_of_face(frame, Face(10.4, 12.4, 0.2, 0.1), FaceContract(margin=0))
    assert crop.size == (1, 1)
    assert crop.getpixel((0, 0)) == tuple(frame[12, 10].tolist())


def test_of_a_huge_face_only_so_much_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparation.crop, "LARGEST_CROP", LARGEST)
    frame = np.full((300, 400, 3), 200, dtype=np.uint8)
    crop = crop_of_face(frame, Face(-400, -400, 800, 800), FaceContract(margin=1.0))
    assert crop.size == (LARGEST, LARGEST)
    left, top, right, bottom = crop.getbbox() or (0, 0, 0, 0)
    shrunk = LARGEST / 2400
    for edge, expected in ((left, 1200), (top, 1200), (right, 1600), (bottom, 1500)):
        assert edge == pytest.approx(expected * shrunk, abs=1)


def test_a_large_crop_is_shrunk_without_aliasing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparation.crop, "LARGEST_CROP", LARGEST)
    stripes = np.zeros((40, 700, 3), dtype=np.uint8)
    stripes[:, ::2] = 255
    crop = crop_of_face(stripes, Face(0, -330, 700, 700), FaceContract(margin=0))
    assert crop.size == (LARGEST, LARGEST)
    # Stripes of one pixel become grey, neither black nor white and without beats.
    middle = np.asarray(crop)[LARGEST // 2, 10:-10]
    assert 110 < middle.min() <= middle.max() < 145


@pytest.mark.parametrize("face", [Face(50, 0, 10, 10), Face(0, 40, 9, 9), Face(-20, 0, 20.5, 10), Face(0, 0, 0, 5)])
def test_a_face_outside_of_its_frame_is_refused(face: Face) -> None:
    with pytest.raises(DataError, match="lies outside of its frame of 50 x 40; check that the boxes belong to this"):
        crop_of_face(np.zeros((40, 50, 3), dtype=np.uint8), face, FaceContract(margin=2.0))
