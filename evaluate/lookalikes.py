"""Images of the calibration or validation set that look like test images, although their names tell nothing of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluate.facts import LookalikeFacts, LookalikePair
from evaluate.likeness import alike
from evaluate.lookalike_text import pair_text
from evaluate.scoring.validation import validation_of_calibration
from evaluate.thumbnails import thumbnails_of
from export.errors import DataError
from export.progress import progress_bar

if TYPE_CHECKING:
    from typing import Literal

    from calibration.samples import SampleSet
    from evaluate.scoring.session import Session
    from evaluate.validation_scores import ValidationScores

_SHOWN = 5
_AT_ONCE = 16


def lookalikes(session: Session) -> tuple[LookalikeFacts, ...]:
    """Compares the images that the run was calibrated with, and those of the validation set, with all test images.

    Returns:
        One entry per set; one that is not here says so instead.

    Raises:
        DataError: Images look alike, and nobody accepted that; the message names pairs.
    """
    found = []
    calibration = session.spec.calibration
    if calibration is not None:
        images = session.validation
        if images.samples is None or images.samples.sha256 != calibration.sha256:
            images = validation_of_calibration(session.spec)
        if images.samples is None:
            found.append(LookalikeFacts("calibration", 0, 0, lack=images.lack.partition(";")[0]))
        else:
            found.append(_compared(session, "calibration", images.samples))
    validation = session.validation.samples
    if validation is not None and (calibration is None or validation.sha256 != calibration.sha256):
        found.append(_compared(session, "validation", validation))
    for facts in found:
        if facts.pairs and not session.request.accept_lookalikes:
            raise _refusal(facts)
    return tuple(found)


def with_unchecked(
    found: tuple[LookalikeFacts, ...], session: Session, validation: ValidationScores | None
) -> tuple[LookalikeFacts, ...]:
    """Adds that a validation set which another machine scored was not compared, because its images are not here."""
    calibration = session.spec.calibration
    is_here = session.validation.samples is not None
    if validation is None or is_here or (calibration is not None and validation.sha256 == calibration.sha256):
        return found
    return (*found, LookalikeFacts("validation", 0, 0, lack="pass --validation where they are"))


def _compared(session: Session, purpose: Literal["calibration", "validation"], samples: SampleSet) -> LookalikeFacts:
    images, thumbnails = thumbnails_of(session, purpose, samples)
    test_images, test_thumbnails = thumbnails_of(session, "test", session.samples)
    starts = range(0, len(images), _AT_ONCE)
    pairs = [
        LookalikePair(images[start + index], test_images[other], likeness)
        for start in progress_bar(starts, f"{purpose} images among the test images", len(starts), "batch")
        for index, other, likeness in alike(thumbnails[start : start + _AT_ONCE], test_thumbnails)
    ]
    worst = sorted(pairs, key=lambda pair: (-pair.likeness, pair.image, pair.test_image))[:_SHOWN]
    return LookalikeFacts(purpose, len(images), len(pairs), tuple(worst))


def _refusal(facts: LookalikeFacts) -> DataError:
    examples = ", ".join(pair_text(pair) for pair in facts.worst[:3])
    verb = {"calibration": "calibrate", "validation": "validate"}[facts.purpose]
    return DataError(
        f"{facts.pairs} pairs of a {facts.purpose} and a test image look like one picture, such as {examples}: look "
        f"at them and {verb} on other videos, or, if they are different ones, pass --accept-lookalikes"
    )
