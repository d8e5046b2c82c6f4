"""Small but complete runs for tests: a checkpoint, disjoint data sets and both commands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from engines.cli import main as build_engines
from evaluate.cli import main as evaluate_engines
from export.command import EXIT_INCONCLUSIVE, EXIT_LIMIT_MISSED
from tests.celeb_df_tree import write_tree
from tests.detectors import TINY, contract_for_tests, write_checkpoint

if TYPE_CHECKING:
    from pathlib import Path


# Networks with random weights stand no pruning; what is done about missed limits is tested elsewhere.
DONE = (0, EXIT_LIMIT_MISSED)
# A few videos decide nothing, and such networks nothing right; verdicts are tested elsewhere.
GRADED = (0, EXIT_LIMIT_MISSED, EXIT_INCONCLUSIVE)
LENIENT = ("--max-pruning-auc-drop", "0.49", "--max-pruning-flips", "49", "--distill-steps", "0")


@dataclass(frozen=True)
class SignoffCase:
    """Inputs of a run and its folder."""

    checkpoint: Path
    calibration: Path
    test: Path
    out: Path

    def build(self, *options: str) -> int:
        """Runs build-engines with limits that most prunings meet."""
        paths = ["--checkpoint", self.checkpoint, "--calibration", self.calibration, "--out", self.out]
        return build_engines([*map(str, paths), *LENIENT, *options])

    def evaluate(self, *options: str) -> int:
        """Runs evaluate-engines."""
        return evaluate_engines([str(self.out), "--test", str(self.test), *options])


def write_case(folder: Path, architecture: str = TINY, size: int = 64) -> SignoffCase:
    """Writes the inputs of a run: 12 calibration videos, 12 test videos of other people, random weights."""
    return SignoffCase(
        checkpoint=write_checkpoint(folder / "model", contract_for_tests(architecture, size)),
        calibration=write_tree(folder / "calibration", first_identity=0),
        test=write_tree(folder / "test", first_identity=100),
        out=folder / "run",
    )
