"""Which samples the report shows: the most telling ones of each outcome."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from evaluate.metrics import DEFAULT_THRESHOLD

if TYPE_CHECKING:
    from evaluate.scores import ScoreSet, VideoScore

DEFAULT_COUNT = 5


class Outcome(str, Enum):
    """How a decision compares with the label; the value is the outcome's folder and its key in report.json."""

    TRUE_POSITIVE = "true_positives"
    FALSE_NEGATIVE = "false_negatives"
    FALSE_POSITIVE = "false_positives"
    TRUE_NEGATIVE = "true_negatives"

    @property
    def is_fake(self) -> bool:
        """The label of samples with this outcome."""
        return self in (Outcome.TRUE_POSITIVE, Outcome.FALSE_NEGATIVE)

    @property
    def is_called_fake(self) -> bool:
        """The decision on samples with this outcome."""
        return self in (Outcome.TRUE_POSITIVE, Outcome.FALSE_POSITIVE)


def most_telling(
    scores: ScoreSet, outcome: Outcome, threshold: float = DEFAULT_THRESHOLD, count: int = DEFAULT_COUNT
) -> tuple[VideoScore, ...]:
    """Returns at most `count` samples of an outcome, the most confident decision first, ties by name.

    Called fake (right or wrong): highest score first. Called real: lowest score first. Videos without a face tell
    nothing about an engine, and have nothing to show.
    """
    members = [
        video
        for video in scores.videos
        if video.path and video.is_fake == outcome.is_fake and (video.score >= threshold) == outcome.is_called_fake
    ]
    sign = -1.0 if outcome.is_called_fake else 1.0
    return tuple(sorted(members, key=lambda video: (sign * video.score, video.sample))[:count])
