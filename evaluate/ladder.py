"""The stages between the checkpoint and an engine, and the AUC that each costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from evaluate.metrics import DEFAULT_THRESHOLD, roc_auc
from evaluate.scores import strongest_faces, video_scores_from_frames
from export.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from calibration.samples import FacelessVideo
    from evaluate.scores import FrameScore, ScoreSet
    from export.face_contract import Aggregation

Stage = Literal["checkpoint", "pruned", "ONNX", "graph", "engine"]


@dataclass(frozen=True)
class LadderStep:
    """One stage of a variant on the test set.

    Attributes:
        stage: `checkpoint` is the dense PyTorch model, `pruned` the pruned one, `ONNX` its FP32 export, `graph` the
            variant's graph (FP16, or INT8 with Q/DQ pairs) by ONNX Runtime, `engine` what was signed off.
        runner: What ran it, such as `torch 2.9 (CPU)`.
        auc: AUC of the videos.
        auc_cost: AUC of the stage before minus this one's; 0.0 for the first.
        flips: Videos whose decision differs from the stage before, at the threshold of the variant's other flips.
        sqnr_db: Signal-to-noise ratio of the frames' logits against the stage before, in dB, see `logit_sqnr_db`; None
            for the first, and where no logit differs.
    """

    stage: Stage
    runner: str
    auc: float
    auc_cost: float
    flips: int
    sqnr_db: float | None


@dataclass(frozen=True)
class StageScores:
    """What a stage says about the frames of the test set.

    Attributes:
        stage: Which stage.
        runner: What ran it.
        frames: One logit per frame; all stages of a ladder have the same frames, in any order.
    """

    stage: Stage
    runner: str
    frames: tuple[FrameScore, ...]


def ladder_from_scores(
    stages: Sequence[StageScores],
    aggregation: Aggregation,
    at_half: Sequence[FacelessVideo] = (),
    threshold: float = DEFAULT_THRESHOLD,
) -> tuple[LadderStep, ...]:
    """Compares each stage with the one before.

    Args:
        stages: From the checkpoint on.
        aggregation: What makes a video's score of its frames'; see `evaluate.aggregation`.
        at_half: Videos without a face, which every stage scores 0.5.
        threshold: A score of at least this is called fake.

    Raises:
        DataError: There is no stage, two stages are not of the same frames and labels, or a class is missing.
    """
    if not stages:
        raise DataError("a ladder of no stage; expected at least that of the checkpoint")
    steps: list[LadderStep] = []
    before: tuple[ScoreSet, NDArray[np.float64]] | None = None
    for scores in stages:
        frames = strongest_faces(scores.frames)
        videos = video_scores_from_frames(frames, aggregation, at_half)
        logits = np.array([frame.logit for frame in frames])
        auc = roc_auc(videos.is_fake, videos.scores)
        if before is None:
            steps.append(LadderStep(scores.stage, scores.runner, auc, 0.0, 0, None))
        else:
            _require_same_frames(stages[0], scores)
            earlier, earlier_logits = before
            flips = (videos.scores >= threshold) != (earlier.scores >= threshold)
            steps.append(
                LadderStep(
                    stage=scores.stage,
                    runner=scores.runner,
                    auc=auc,
                    auc_cost=steps[-1].auc - auc,
                    flips=int(np.sum(flips)),
                    sqnr_db=logit_sqnr_db(np.array([f.is_fake for f in frames]), earlier_logits, logits),
                )
            )
        before = videos, logits
    return tuple(steps)


def logit_sqnr_db(
    is_fake: NDArray[np.bool_], reference: NDArray[np.float64], logits: NDArray[np.float64]
) -> float | None:
    """Returns the logit SQNR as the INT8 search and the drift count it; None where no logit differs.

    The signal is how the reference's logits (N,) vary within the classes: a constant offset or the gap between the
    classes would drown any noise.
    """
    from calibration.logit_noise import sqnr_db, within_class_variance  # it loads SciPy, which a record does not need

    if np.array_equal(reference, logits):
        return None
    return sqnr_db(within_class_variance(reference, is_fake), logits - reference)


def _require_same_frames(first: StageScores, other: StageScores) -> None:
    one, two = ({(frame.path, frame.video, frame.is_fake) for frame in scores.frames} for scores in (first, other))
    if one != two or len(first.frames) != len(other.frames):
        raise DataError(
            f"stage {other.stage} has {len(other.frames)} frames and stage {first.stage} {len(first.frames)}, and "
            f"{len(one ^ two)} are not of both; delete results/ladder and run the command again"
        )
