"""A confidence interval."""

from __future__ import annotations

from dataclasses import dataclass

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
