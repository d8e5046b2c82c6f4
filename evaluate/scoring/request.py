"""What `evaluate-engines` was asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from engines.engine_runner import RunOptions
from engines.latency_measuring import LatencyConditions

if TYPE_CHECKING:
    from pathlib import Path

    from export.face_contract import Aggregation


@dataclass(frozen=True)
class EvaluationRequest:
    """What `evaluate-engines` was asked for.

    Attributes:
        run: Folder that `build-engines` filled.
        test: Data set of labelled faces; where it has splits, its test split is scored.
        backend: Which engines to run.
        batch_size: Images per inference.
        skip_unreadable: Goes on without images that do not decode, and says so in the report.
        latency_batches: Batch sizes whose latency to measure; empty for none.
        latency_conditions: How long to measure each of them.
        cuda_graphs: Whether a GPU replays each batch size from a CUDA graph.
        gpu: Index of the GPU.
        from_scores: Makes the report from the scores that the run folder has, without running an engine.
        validation: Data set of labelled faces that thresholds are fitted to; None for the run's calibration images.
        allow_partial: Reports on the videos that every engine has scored alike, if some engine lacks others.
        ladder: Scores every stage from the checkpoint to the engine, too.
        aggregation: What makes a video's score of its frames'; None for what the model file declares.
        accept_lookalikes: Reports although images of the calibration or validation set look like test images.
        limits: limits.toml; None for the limits of the verdict before, or the default ones.
        limit_changes: Single limits that replace those, such as `q8.max_flips=0.01`.
        test_split: The split to score, `all` for every one; None for the test split.
        validation_split: The split to fit to, `all` for every one; None for the validation split.
    """

    run: Path
    test: Path
    backend: str = "onnxruntime"
    batch_size: int = 16
    skip_unreadable: bool = False
    latency_batches: tuple[int, ...] = ()
    latency_conditions: LatencyConditions = field(default_factory=LatencyConditions)
    cuda_graphs: bool = True
    gpu: int = 0
    from_scores: bool = False
    validation: Path | None = None
    allow_partial: bool = False
    ladder: bool = False
    aggregation: Aggregation | None = None
    accept_lookalikes: bool = False
    limits: Path | None = None
    limit_changes: tuple[str, ...] = ()
    test_split: str | None = None
    validation_split: str | None = None

    @property
    def latency_sizes(self) -> tuple[int, ...]:
        """The batch sizes to measure, each once, the smallest first."""
        return tuple(sorted(set(self.latency_batches)))

    def run_options(self, batch_size: int, inferences: int = 1) -> RunOptions:
        """Returns how to run an engine at batches of at most this size, and how many at a time on the processors."""
        return RunOptions(batch_size, self.cuda_graphs, self.gpu, inferences)
