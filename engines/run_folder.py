"""Where everything of one run lies, and the lock that keeps a second command out of it."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from export.folder_lock import locked_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True)
class RunFolder:
    """Paths of a run; see docs/run-folder.md for what each file holds."""

    root: Path

    @property
    def spec(self) -> Path:
        """The resolved request: what was asked for, with every default written out."""
        return self.root / "spec.json"

    @property
    def report(self) -> Path:
        """Folder of report.md, report.json and the plots."""
        return self.root / "report"

    def model(self, source: str) -> Path:
        """The weights of a source model that is not the checkpoint itself."""
        return self.root / "models" / f"{source}.safetensors"

    def onnx(self, variant: str) -> Path:
        """The graph of a variant."""
        return self.root / "onnx" / f"{variant}.onnx"

    def channels(self, variant: str) -> Path:
        """Statistics of each channel of the activations that an INT8 variant may round."""
        return self.root / "calibration" / f"{variant}.channels.npz"

    def calibration_table(self, variant: str) -> Path:
        """Activation ranges of an INT8 variant."""
        return self.root / "calibration" / f"{variant}.table"

    def sensitivity(self, variant: str) -> Path:
        """What each group of layers, rounded alone, does to the logit."""
        return self.root / "calibration" / f"{variant}.sensitivity"

    def engine(self, variant: str, backend: str, suffix: str) -> Path:
        """An engine: a TensorRT plan or the graph that ONNX Runtime loads."""
        return self.root / "engines" / f"{variant}.{backend}{suffix}"

    def stability(self, variant: str) -> Path:
        """What an INT8 variant would be with other calibration images."""
        return self.root / "calibration" / f"{variant}.stability"

    def results(self, variant: str) -> Path:
        """Scores, latency and heatmaps of a variant."""
        return self.root / "results" / variant

    def frames(self, variant: str, backend: str) -> Path:
        """One logit per frame, by a variant's engine of a backend."""
        return self.results(variant) / f"frames.{backend}.csv"

    def unfinished_frames(self, variant: str, backend: str) -> Path:
        """The logits that a command has so far; gone once it has them all."""
        return self.results(variant) / f"frames.{backend}.partial.csv"

    def validation(self, variant: str, backend: str) -> Path:
        """One logit per frame of the validation set, likewise."""
        return self.results(variant) / f"validation.{backend}.csv"

    def unfinished_validation(self, variant: str, backend: str) -> Path:
        """Those of them that a command has so far."""
        return self.results(variant) / f"validation.{backend}.partial.csv"

    def scores(self, variant: str) -> Path:
        """One score per video: what the report shows."""
        return self.results(variant) / "scores.csv"

    def latency(self, variant: str, backend: str) -> Path:
        """How long a variant's engine of a backend takes."""
        return self.results(variant) / f"latency.{backend}.json"

    def ladder_frames(self, name: str, runner: str) -> Path:
        """One logit per frame, by a source model in PyTorch or by a variant's graph in ONNX Runtime."""
        return self.root / "results" / "ladder" / f"{name}.{runner}.csv"

    def maps(self, source: str) -> Path:
        """Class-activation maps of a source model."""
        return self.root / "results" / "maps" / f"{source}.npz"

    def thumbnails(self, name: str) -> Path:
        """Small pictures of the images of a set, such as `test`."""
        return self.root / "results" / "thumbnails" / f"{name}.npz"


@contextmanager
def locked(run: RunFolder) -> Iterator[None]:
    """Holds the run folder for one command; the lock goes with the process, however it ends.

    Raises:
        ArtifactError: Another command works on the same folder.
    """
    with locked_folder(run.root, run.root / ".lock"):
        yield
