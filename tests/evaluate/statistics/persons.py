"""Test sets of persons whose videos are alike, with the AUCs that such sets have on average in closed form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import norm

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Persons:
    """So many persons with fakes and reals, and videos of one unknown person each, which are real.

    Scores are normal with a standard deviation of 1 within a class. A variant adds noise of its own.
    """

    count: int
    fakes: int
    reals: int
    others: int
    distance: float
    shared: float
    noise: float
    noise_shared: float = 0.0
    noise_of_fakes: float = 0.0

    @property
    def is_fake(self) -> NDArray[np.bool_]:
        one = np.repeat([True, False], [self.fakes, self.reals])
        return np.concatenate([np.tile(one, self.count), np.zeros(self.others, np.bool_)])

    @property
    def clusters(self) -> list[str]:
        persons = np.repeat(np.arange(self.count), self.fakes + self.reals)
        return [f"id{person}" for person in persons] + [f"{video:05d}.mp4" for video in range(self.others)]

    @property
    def aucs(self) -> tuple[float, float]:
        """Expected AUC of the baseline and of a variant."""
        pairs = self.count * self.fakes * (self.count * self.reals + self.others)
        within = self.count * self.fakes * self.reals / pairs

        def expected(distance: float, variance: float, shared: float) -> float:
            between = norm.cdf(distance / np.sqrt(2 * variance))
            return float((1 - within) * between + within * norm.cdf(distance / np.sqrt(2 * (variance - shared))))

        variance, shared = 1 + self.noise**2, self.shared + self.noise**2 * self.noise_shared
        return expected(self.distance, 1, self.shared), expected(self.distance - self.noise_of_fakes, variance, shared)

    def drawn(self, rng: np.random.Generator, variants: int = 1) -> NDArray[np.float64]:
        """Draws scores of the baseline and so many variants, shape (1 + variants, N)."""
        is_fake = self.is_fake
        baseline = self.distance * is_fake + self._normal(rng, self.shared)
        others = [
            baseline - self.noise_of_fakes * is_fake + self.noise * self._normal(rng, self.noise_shared)
            for _ in range(variants)
        ]
        return np.stack([baseline, *others])

    def _normal(self, rng: np.random.Generator, shared: float) -> NDArray[np.float64]:
        videos = self.is_fake.size
        persons = np.repeat(rng.normal(size=self.count), self.fakes + self.reals)
        own = np.concatenate([persons, rng.normal(size=self.others)])
        return np.sqrt(shared) * own + np.sqrt(1 - shared) * rng.normal(size=videos)
