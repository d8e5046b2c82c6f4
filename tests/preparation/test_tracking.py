from __future__ import annotations

import random
import secrets

import pytest

from export.face_contract import FaceContract
from preparation.crop import chosen_faces
from preparation.face import Face, overlap
from preparation.tracking import faces_of_video

FRESH = pytest.param(secrets.randbelow(1 << 32), id="fresh")
CONSISTENT = FaceContract(choice="consistent")
FRAMES = 24


def walk(random_numbers: random.Random, left: float, side: float) -> list[Face]:
    """Returns a face that moves a little from frame to frame and stays within 100 pixels of where it began."""
    faces = []
    for _ in range(FRAMES):
        size = side * random_numbers.uniform(0.9, 1.1)
        faces.append(
            Face(left + random_numbers.uniform(-0.1, 0.1) * side, random_numbers.uniform(0, 0.1) * side, size, size)
        )
    return faces


@pytest.mark.parametrize("seed", [0, FRESH])
def test_a_bystander_who_leans_forward_does_not_take_over(seed: int) -> None:
    random_numbers = random.Random(seed)
    person, bystander = walk(random_numbers, 0, 100), walk(random_numbers, 500, 60)
    for index in random_numbers.sample(range(FRAMES), 4):
        bystander[index] = Face(480, 0, 130, 130)
    frames = [random_numbers.sample(pair, 2) for pair in zip(person, bystander, strict=True)]
    assert faces_of_video(frames, CONSISTENT) == tuple((face,) for face in person)
    # What the choice is for: by size alone, four frames show somebody else.
    by_size = faces_of_video(frames, FaceContract(choice="largest"))
    assert sum(chosen == (face,) for chosen, face in zip(by_size, person, strict=True)) == FRAMES - 4


@pytest.mark.parametrize("seed", [0, FRESH])
def test_of_persons_apart_exactly_one_is_taken_throughout(seed: int) -> None:
    random_numbers = random.Random(seed)
    persons = [walk(random_numbers, 400 * number, random_numbers.uniform(50, 150)) for number in range(4)]
    frames = [random_numbers.sample(faces, len(faces)) for faces in zip(*persons, strict=True)]
    chosen = faces_of_video(frames, CONSISTENT)
    largest = max(persons, key=lambda faces: sum(face.area for face in faces))
    assert chosen == tuple((face,) for face in largest)


def test_a_missed_face_is_not_replaced_by_a_bystander() -> None:
    person, bystander = Face(0, 0, 100, 100), Face(300, 0, 50, 50)
    frames = [(person, bystander)] * 3 + [(bystander,)] * 2 + [(person, bystander)] * 3
    assert faces_of_video(frames, CONSISTENT) == ((person,),) * 3 + ((),) * 2 + ((person,),) * 3


def test_after_a_cut_the_person_is_found_at_another_place() -> None:
    before, after, bystander = Face(0, 0, 100, 100), Face(900, 300, 40, 40), Face(300, 0, 50, 50)
    frames = [(before, bystander)] * 5 + [(after,)] * 3
    assert faces_of_video(frames, CONSISTENT) == ((before,),) * 5 + ((after,),) * 3


def test_two_faces_that_cross_are_each_continued_once() -> None:
    """Both overlap the other's last place; the closer one continues each track."""
    left = [Face(10 * step, 0, 100, 100) for step in range(12)]
    right = [Face(130 - 10 * step, 30, 70, 70) for step in range(12)]
    chosen = faces_of_video(list(zip(right, left, strict=True)), CONSISTENT)
    assert chosen == tuple((face,) for face in left)


def test_doubtful_faces_are_not_followed() -> None:
    doubtful, sure = Face(0, 0, 100, 100, score=0.59), Face(300, 0, 20, 20, score=0.6)
    assert faces_of_video([(doubtful, sure)] * 2, CONSISTENT) == ((sure,),) * 2


@pytest.mark.parametrize("choice", ["largest", "consistent", "all"])
def test_a_frame_without_faces_has_none(choice: str) -> None:
    contract = FaceContract(choice=choice)  # type: ignore[arg-type]
    face = Face(0, 0, 10, 10)
    assert faces_of_video([(), (face,), ()], contract) == ((), (face,), ())
    assert faces_of_video([], contract) == ()


def test_the_largest_faces_come_first() -> None:
    small, large, doubtful = Face(0, 0, 10, 30), Face(50, 0, 20, 20), Face(90, 0, 90, 90, score=0.1)
    faces = (small, doubtful, large)
    assert chosen_faces(faces, FaceContract(choice="all")) == (large, small)
    assert chosen_faces(faces, FaceContract(choice="all", min_area=0.75)) == (large, small)
    assert chosen_faces(faces, FaceContract(choice="all", min_area=0.76)) == (large,)
    assert chosen_faces(faces, FaceContract(choice="largest")) == (large,)
    assert chosen_faces(faces, FaceContract(choice="consistent")) == (large,)
    assert chosen_faces(faces, FaceContract(min_score=0.0)) == (doubtful,)
    assert chosen_faces((), FaceContract(choice="all", min_area=1.0)) == ()


@pytest.mark.parametrize("seed", [0, FRESH])
def test_overlap_is_that_of_counted_pixels(seed: int) -> None:
    random_numbers = random.Random(seed)
    for _ in range(50):
        boxes = [
            [random_numbers.randrange(12) for _ in range(2)] + [random_numbers.randrange(1, 12) for _ in range(2)]
            for _ in range(2)
        ]
        one, other = ({(x + i, y + j) for i in range(w) for j in range(h)} for x, y, w, h in boxes)
        assert overlap(Face(*boxes[0]), Face(*boxes[1])) == pytest.approx(len(one & other) / len(one | other))


def test_empty_boxes_do_not_overlap() -> None:
    assert overlap(Face(0, 0, 0, 0), Face(0, 0, 0, 0)) == 0
