"""Parts of the test set, each judged by itself."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from evaluate.metrics import checked_scores, class_sizes, confusion_at, roc_auc
from evaluate.statistics.decision_counts import false_alarms, missed_fakes
from evaluate.statistics.proportion import Proportion, proportion
from export.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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
    clusters: NDArray[np.int64],
    smallest: int = SMALLEST_SLICE,
) -> tuple[Slice, ...]:
    """Returns every slice of at least `smallest` videos, by attribute and value; one that holds all videos is none.

    A slice of one cluster, such as a person, is about that person, so that its videos are what is drawn from it.

    Args:
        attributes: Name -> value of each video, length N.
        is_fake: Labels, shape (N,).
        scores: Scores, shape (N,).
        baseline: The baseline's scores of the same videos.
        threshold: A score of at least this is called fake.
        clusters: Number of each video's cluster, shape (N,); see `clusters.cluster_numbers`.
        smallest: Fewest videos of a slice.

    Raises:
        DataError: The input is empty, mismatched, not finite, or of one class only.
    """
    is_fake, scores = checked_scores(is_fake, scores)
    class_sizes(is_fake)
    if baseline is not None:
        _, baseline = checked_scores(is_fake, baseline)
    if len(attributes) != scores.size:
        raise DataError(f"attributes of {len(attributes)} videos and {scores.size} scores; expected as many")
    members: dict[tuple[str, str], list[int]] = defaultdict(list)
    for index, named in enumerate(attributes):
        for pair in named.items():
            members[pair].append(index)
    return tuple(
        _slice(pair, np.array(indices), is_fake, scores, baseline, threshold, clusters)
        for pair, indices in sorted(members.items())
        if smallest <= len(indices) < scores.size
    )


def _slice(
    pair: tuple[str, str],
    members: NDArray[np.intp],
    is_fake: NDArray[np.bool_],
    scores: NDArray[np.float64],
    baseline: NDArray[np.float64] | None,
    threshold: float,
    clusters: NDArray[np.int64],
) -> Slice:
    labels, of_slice, groups = is_fake[members], scores[members], clusters[members]
    if np.all(groups == groups[0]):
        groups = np.arange(groups.size)
    counts = confusion_at(threshold, labels, of_slice)
    fakes, reals = counts.tp + counts.fn, counts.fp + counts.tn
    compared = np.zeros(scores.size, dtype=np.bool_)
    compared[members] = True
    if fakes == 0 or reals == 0:
        compared |= is_fake if fakes == 0 else ~is_fake
    auc = roc_auc(is_fake[compared], scores[compared])
    return Slice(
        attribute=pair[0],
        value=pair[1],
        fakes=fakes,
        reals=reals,
        auc=auc,
        auc_diff=None if baseline is None else auc - roc_auc(is_fake[compared], baseline[compared]),
        missed_fakes=proportion(missed_fakes(labels, of_slice, threshold, groups)),
        false_alarms=proportion(false_alarms(labels, of_slice, threshold, groups)),
    )
