"""A confidence interval."""

from __future__ import annotations

from dataclasses import dataclass

from export.errors import DataError

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Interval:
    """A two-sided confidence interval of a figure.

    Attributes:
        low: Its lower end.
        high: Its upper end.
    """

    low: float
    high: float

    @property
    def width(self) -> float:
        """Its length."""
        return self.high - self.low


def wider(one: Interval, other: Interval) -> Interval:
    """Returns the wider of two intervals; the first of equals."""
    return other if other.width > one.width else one


def require_confidence(confidence: float) -> None:
    """Refuses what is no confidence of an interval.

    Raises:
        DataError: It does not lie between 0.5 and 1.
    """
    if not 0.5 < confidence < 1:
        raise DataError(f"confidence of {confidence}; expected a share above 0.5 and below 1, such as {CONFIDENCE}")
