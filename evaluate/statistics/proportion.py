"""A share of a count, with its interval."""

from __future__ import annotations

from dataclasses import dataclass

from evaluate.statistics.interval import CONFIDENCE, Interval


@dataclass(frozen=True)
class Proportion:
    """A share such as the rate of false positives.

    Attributes:
        count: How many.
        total: Of how many.
        interval: 95 % interval of the share (Wilson, Journal of the American Statistical Association 1927).
    """

    count: int
    total: int
    interval: Interval

    @property
    def share(self) -> float:
        """Count over total; 0.0 of nothing."""
        return self.count / self.total if self.total else 0.0


def proportion(count: int, total: int, confidence: float = CONFIDENCE) -> Proportion:
    """Returns a share with its Wilson interval; of nothing, that is [0, 1]."""
    raise NotImplementedError
