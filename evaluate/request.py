"""What `evaluate-engines` was asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class EvaluationRequest:
    """What `evaluate-engines` was asked for.

    Attributes:
        run: Folder that `build-engines` filled.
        test: Celeb-DF-like folder of labelled faces; with a list of test videos, those of the list are scored.
        backend: Which engines to run.
        batch_size: Images per inference.
        skip_unreadable: Goes on without images that do not decode, and says so in the report.
    """

    run: Path
    test: Path
    backend: str = "onnxruntime"
    batch_size: int = 16
    skip_unreadable: bool = False
