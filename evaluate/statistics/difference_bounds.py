"""One-sided confidence bounds of a difference of two AUCs, each with the test that belongs to it."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, log
from typing import Protocol

POWER = 0.8


class DifferenceBounds(Protocol):
    """What one method knows of a difference in [-1, 1]."""

    def lower(self, alpha: float) -> float:
        """Returns the bound that lies above the true difference with a probability of at most `alpha`."""

    def p_value(self, value: float) -> float:
        """Returns the `alpha` at which the lower bound would be `value`: of the hypothesis of no more than that."""

    def mirrored(self) -> DifferenceBounds:
        """Returns the bounds of minus the difference; their lower ones are minus this one's upper ones."""

    def times_the_videos(self, distance: float, alpha: float) -> float:
        """Returns how many times the videos bring a bound within `distance` of the difference.

        They do in a share `POWER` of all test sets if the true difference is what was measured.
        """


@dataclass(frozen=True)
class StudentBounds:
    """Student's distribution around the measured difference.

    Attributes:
        difference: The difference.
        standard_error: Its standard error, above 0.
        degrees: Degrees of freedom; infinite for a normal distribution.
    """

    difference: float
    standard_error: float
    degrees: float = inf

    def lower(self, alpha: float) -> float:
        """See `DifferenceBounds`."""
        return max(-1.0, self.difference - student_quantile(1 - alpha, self.degrees) * self.standard_error)

    def p_value(self, value: float) -> float:
        """See `DifferenceBounds`."""
        return student_tail((self.difference - value) / self.standard_error, self.degrees)

    def mirrored(self) -> StudentBounds:
        """See `DifferenceBounds`."""
        return StudentBounds(-self.difference, self.standard_error, self.degrees)

    def times_the_videos(self, distance: float, alpha: float) -> float:
        """See `DifferenceBounds`; the standard error shrinks with the root of the number of videos."""
        errors = student_quantile(1 - alpha, self.degrees) + student_quantile(POWER, inf)
        return (errors * self.standard_error / distance) ** 2


@dataclass(frozen=True)
class UnseenBounds:
    """What is left to know where every pair of a fake and a real lost or gained the same, mostly nothing.

    An event that none of k independent pairs shows has a probability of at most 1 - alpha^(1/k); at 5 % that is the
    rule of three. What it would cost is taken from what did move: the most ranks that a video has changed without
    passing one of the other class. Scores in the same order leave nothing to know.

    Attributes:
        difference: What every pair lost or gained.
        reach: Most ranks that a video changed, over the size of the smaller class, at most 1.
        pairs: Independent pairs of a fake and a real.
    """

    difference: float
    reach: float
    pairs: int

    def lower(self, alpha: float) -> float:
        """See `DifferenceBounds`."""
        return max(-1.0, self.difference - self.reach * float(1 - alpha ** (1 / self.pairs)))

    def p_value(self, value: float) -> float:
        """See `DifferenceBounds`."""
        lost = self.difference - value
        if lost <= 0:
            return 1.0
        return float((1 - lost / self.reach) ** self.pairs) if lost < self.reach else 0.0

    def mirrored(self) -> UnseenBounds:
        """See `DifferenceBounds`."""
        return UnseenBounds(-self.difference, self.reach, self.pairs)

    def times_the_videos(self, distance: float, alpha: float) -> float:
        """See `DifferenceBounds`; what larger sets do not show either, they bound."""
        return log(alpha) / log(1 - distance / self.reach) / self.pairs if distance < self.reach else 0.0


@dataclass(frozen=True)
class UnknownBounds:
    """Nothing is known, since all videos of a class belong together and say nothing of others."""

    def lower(self, alpha: float) -> float:
        """See `DifferenceBounds`."""
        return -1.0

    def p_value(self, value: float) -> float:
        """See `DifferenceBounds`."""
        return 1.0

    def mirrored(self) -> UnknownBounds:
        """See `DifferenceBounds`."""
        return self

    def times_the_videos(self, distance: float, alpha: float) -> float:
        """See `DifferenceBounds`."""
        return inf


@dataclass(frozen=True)
class AgreedBounds:
    """What each of several methods grants: the least favourable bound."""

    methods: tuple[DifferenceBounds, ...]

    def lower(self, alpha: float) -> float:
        """See `DifferenceBounds`."""
        return min(method.lower(alpha) for method in self.methods)

    def p_value(self, value: float) -> float:
        """See `DifferenceBounds`."""
        return max(method.p_value(value) for method in self.methods)

    def mirrored(self) -> AgreedBounds:
        """See `DifferenceBounds`."""
        return AgreedBounds(tuple(method.mirrored() for method in self.methods))

    def times_the_videos(self, distance: float, alpha: float) -> float:
        """See `DifferenceBounds`."""
        return max(method.times_the_videos(distance, alpha) for method in self.methods)


def student_quantile(probability: float, degrees: float) -> float:
    """Returns the quantile of Student's distribution; of the normal one at infinite degrees of freedom."""
    from scipy.special import ndtri, stdtrit

    return float(ndtri(probability) if degrees == inf else stdtrit(degrees, probability))


def student_tail(value: float, degrees: float) -> float:
    """Returns the probability above a value, likewise."""
    from scipy.special import ndtr, stdtr

    return float(ndtr(-value) if degrees == inf else stdtr(degrees, -value))
