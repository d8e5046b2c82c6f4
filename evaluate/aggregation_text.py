"""How the frames of a video became its score, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluate.aggregation import CONFIDENTLY_FAKE, CONFIDENTLY_REAL, FAKE_FRAMES, FRAMES_PER_FAKE, REAL_SHARE

if TYPE_CHECKING:
    from evaluate.record import ReportRecord
    from export.face_contract import Aggregation

AGGREGATION_NAMES: dict[Aggregation, str] = {
    "mean-probability": "the mean of its frames' fake probabilities",
    "mean-logit": "the sigmoid of the mean of its frames' logits",
    "max": "the largest of its frames' fake probabilities",
    "confident": "the mean of its confident frames' fake probabilities",
}
_CONFIDENT = (
    f"Confident are the frames above {CONFIDENTLY_FAKE:g} if they are more than {FAKE_FRAMES} and more than "
    f"{100 / FRAMES_PER_FAKE:g}%, else those below {CONFIDENTLY_REAL:g} if they are more than {100 * REAL_SHARE:g}%, "
    "else all of them."
)


def aggregation_sentences(record: ReportRecord) -> str:
    """Says what a video's score is and, where the command replaced the model file's choice, that it did."""
    sentences = [f"A video's score is {AGGREGATION_NAMES[record.aggregation]} ({record.aggregation})."]
    if record.aggregation == "confident":
        sentences.append(_CONFIDENT)
    if record.dataset.faces > record.dataset.frames:
        sentences.append("Of several faces in a frame, the one that scores highest is the frame's.")
    if record.aggregation != record.declared_aggregation:
        sentences.append(f"The model file declares {record.declared_aggregation}; --aggregation replaced it.")
    return " ".join(sentences)


def aggregation_warnings(record: ReportRecord) -> tuple[str, ...]:
    """Returns the warning that the scores are not those which the model file declares; nothing if they are."""
    if record.aggregation == record.declared_aggregation:
        return ()
    return (
        f"videos are scored by {record.aggregation}, which --aggregation put in the place of the "
        f"{record.declared_aggregation} of the model file",
    )


def representative_text(record: ReportRecord) -> str:
    """Names the frame that stands for a video in pictures."""
    if record.aggregation == "max":
        return "the frame of the largest score"
    return "the frame whose score is nearest to its video's"
