"""Parts of the test set, each judged by itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from evaluate.statistics.proportion import Proportion  # noqa: TC001  # decoding resolves the fields' types

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

SMALLEST_SLICE = 10


@dataclass(frozen=True)
class Slice:
    """The videos that share a value of an attribute.

    Attributes:
        attribute: Such as `folder` or `identity`.
        value: Such as `YouTube-real`.
        fakes: Its fakes.
        reals: Its reals.
        auc: Area under the ROC curve of its videos; where it has one class only, against all of the other class.
        auc_diff: AUC minus the baseline's on the same videos; None for lack of a baseline.
        missed_fakes: Share of its fakes called real at the threshold.
        false_alarms: Share of its reals called fake.
    """

    attribute: str
    value: str
    fakes: int
    reals: int
    auc: float
    auc_diff: float | None
    missed_fakes: Proportion
    false_alarms: Proportion


def slices_from_scores(
    attributes: Sequence[Mapping[str, str]],
    is_fake: NDArray[np.bool_],
    scores: NDArray[np.float64],
    baseline: NDArray[np.float64] | None,
    threshold: float,
    smallest: int = SMALLEST_SLICE,
) -> tuple[Slice, ...]:
    """Returns every slice of at least `smallest` videos, by attribute and value; one that holds all videos is none.

    Args:
        attributes: Name -> value of each video, length N.
        is_fake: Labels, shape (N,).
        scores: Scores, shape (N,).
        baseline: The baseline's scores of the same videos.
        threshold: A score of at least this is called fake.
        smallest: Fewest videos of a slice.
    """
    raise NotImplementedError
