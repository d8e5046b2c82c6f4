"""What grades rest on: the labelled scores of a report, as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from evaluate.record import BASELINE
from evaluate.statistics.clusters import cluster_numbers
from export.errors import ArtifactError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evaluate.record import ReportRecord


@dataclass(frozen=True)
class Evidence:
    """Scores of one test set.

    Attributes:
        is_fake: Labels, shape (N,).
        clusters: What each video is resampled with, length N.
        scores: Variant -> scores, shape (N,); without variants whose scores the report does not hold.
        confidence: Of every bound, in (0.75, 1).
    """

    is_fake: NDArray[np.bool_]
    clusters: tuple[str, ...]
    scores: dict[str, NDArray[np.float64]]
    confidence: float

    @property
    def videos(self) -> int:
        """Number of videos."""
        return len(self.is_fake)

    @cached_property
    def cluster_numbers(self) -> NDArray[np.int64]:
        """Clusters as numbers, shape (N,)."""
        return cluster_numbers(self.clusters)

    @property
    def baseline(self) -> NDArray[np.float64] | None:
        """The baseline's scores, if the report holds them."""
        return self.scores.get(BASELINE)

    def is_identical(self, variant: str) -> bool:
        """Tells whether a variant scores every video exactly as the baseline does."""
        baseline, scores = self.baseline, self.scores.get(variant)
        return baseline is not None and scores is not None and bool(np.array_equal(baseline, scores))

    def rows(self, variants: list[str]) -> NDArray[np.float64]:
        """Returns the scores of some variants, shape (K, N)."""
        return np.stack([self.scores[variant] for variant in variants])


def evidence_from_record(record: ReportRecord, confidence: float) -> Evidence:
    """Returns the scores that a report holds.

    Raises:
        ArtifactError: A variant has more or fewer scores than there are videos.
    """
    for variant in record.variants:
        if variant.statistics is not None and len(variant.statistics.scores) != len(record.videos):
            raise ArtifactError(
                f"report.json has {len(variant.statistics.scores)} scores of {variant.name} for {len(record.videos)} "
                "videos; it was edited: evaluate again"
            )
    scored = [(variant.name, variant.statistics) for variant in record.variants]
    return Evidence(
        is_fake=np.array([video.is_fake for video in record.videos], np.bool_),
        clusters=tuple(video.cluster for video in record.videos),
        scores={name: np.array(statistics.scores, np.float64) for name, statistics in scored if statistics},
        confidence=confidence,
    )
