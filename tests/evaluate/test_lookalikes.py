"""Images of the calibration or validation set that are test images under another name."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from calibration.datasets.celeb_df import samples_from_celeb_df
from engines.backend import backend_from_name
from engines.run_folder import RunFolder
from engines.store import ArtifactStore
from evaluate.likeness import LEAST_LIKENESS
from evaluate.lookalike_text import lookalike_lines, lookalike_warnings
from evaluate.lookalikes import lookalikes
from evaluate.scoring.request import EvaluationRequest
from evaluate.scoring.session import Session
from evaluate.scoring.validation import Validation
from export.errors import ArtifactError, DataError
from tests.celeb_df_tree import write_tree
from tests.evaluate.scoring.test_validation import calibrated

if TYPE_CHECKING:
    from pathlib import Path

COPY = "Celeb-real/id0_0000/000.png"
ORIGINAL = "Celeb-real/id100_0000/001.png"


class Case:
    """A run with calibration images, a test set of other people, and what was announced."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.calibration = write_tree(folder / "calibration", 0)
        self.test = write_tree(folder / "test", 100)
        self.told: list[str] = []

    def plant(self, path: Path) -> None:
        """Puts a test image, encoded anew, larger and cropped, in the place of another image."""
        with Image.open(self.test / ORIGINAL) as image:
            image.resize((96, 96)).crop((2, 1, 95, 94)).save(path, "JPEG", quality=60)

    def session(self, validation: Path | None = None, accept: bool = False) -> Session:
        spec, images = calibrated(self.calibration, 24, 0)
        return Session(
            EvaluationRequest(self.folder / "run", self.test, accept_lookalikes=accept),
            RunFolder(self.folder / "run"),
            spec,
            backend_from_name("onnxruntime"),
            samples_from_celeb_df(self.test),
            ArtifactStore(spec.contract.network_json(), announce=self.told.append),
            self.told.append,
            Validation(images if validation is None else samples_from_celeb_df(validation)),
        )


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path)


def test_different_images_pass_and_their_thumbnails_are_made_once(case: Case) -> None:
    (facts,) = lookalikes(case.session())
    assert (facts.purpose, facts.images, facts.pairs, facts.worst, facts.lack) == ("calibration", 24, 0, (), "")
    assert lookalike_warnings([facts]) == ()
    assert lookalike_lines([facts]) == [
        "Lookalikes: 24 calibration images were compared with all test images, no pair looks like one picture."
    ]
    assert len(case.told) == 2
    assert lookalikes(case.session()) == (facts,)
    assert len(case.told) == 2


@pytest.mark.parametrize("purpose", ["calibration", "validation"])
def test_a_test_image_under_another_name_stops_the_command_or_is_told(purpose: str, case: Case, tmp_path: Path) -> None:
    validation = None if purpose == "calibration" else write_tree(tmp_path / "validation", 200)
    place = COPY if validation is None else COPY.replace("id0", "id200")
    case.plant((validation or case.calibration) / place)
    with pytest.raises(DataError) as caught:
        lookalikes(case.session(validation))
    told = str(caught.value)
    assert "\n" not in told
    assert told.startswith(f"1 pairs of a {purpose} and a test image look like one picture, such as {place} and")
    assert ORIGINAL in told
    assert "--accept-lookalikes" in told
    facts = lookalikes(case.session(validation, accept=True))[-1]
    assert (facts.purpose, facts.pairs) == (purpose, 1)
    (pair,) = facts.worst
    assert (pair.image, pair.test_image) == (place, ORIGINAL)
    assert LEAST_LIKENESS <= pair.likeness <= 1
    (warning,) = lookalike_warnings([facts])
    assert "which --accept-lookalikes let pass" in warning
    assert ORIGINAL in warning
    assert "1 pairs look like one picture" in lookalike_lines([facts])[0]


def test_calibration_images_that_are_gone_are_a_note(case: Case) -> None:
    session = case.session()
    shutil.move(case.calibration, case.folder / "moved")
    (facts,) = lookalikes(replace(session, validation=Validation(lack="gone")))
    assert (facts.images, facts.pairs) == (0, 0)
    assert lookalike_lines([facts]) == [
        "Whether calibration images look like test images was not checked: the calibration images are not at "
        f"{case.calibration}."
    ]
    assert lookalikes(replace(session, spec=replace(session.spec, calibration=None), validation=Validation())) == ()


def test_images_that_do_not_decode_are_left_to_the_scoring(case: Case) -> None:
    for place in (ORIGINAL, ORIGINAL.replace("001", "000")):
        (case.test / place).write_bytes(b"no image")
    (facts,) = lookalikes(case.session())
    assert (facts.images, facts.pairs) == (24, 0)


def test_a_pair_is_named_by_its_own_image_where_others_do_not_decode(case: Case) -> None:
    case.plant(case.calibration / COPY)
    (case.test / ORIGINAL.replace("001", "000")).write_bytes(b"no image")
    facts = lookalikes(case.session(accept=True))[0]
    assert [pair.test_image for pair in facts.worst] == [ORIGINAL]


def test_edited_thumbnails_are_refused(case: Case) -> None:
    session = case.session()
    lookalikes(session)
    path = session.run.thumbnails("test")
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(ArtifactError, match=r"test\.npz was changed after it was made"):
        lookalikes(case.session())
