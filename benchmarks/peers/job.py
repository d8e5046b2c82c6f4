"""What one benchmark is about: detector, data and folders, known to the command and to each of its workers."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from calibration.datasets.dataset import samples_from_path
from calibration.samples import require_both_classes, require_disjoint
from calibration.sampling import calibration_sample
from export.model_file import contract_from_toml
from export.sidecar import write_json

if TYPE_CHECKING:
    from calibration.samples import SampleSet
    from export.contract import ModelContract

FRAMES = "frames.csv"


@dataclass(frozen=True)
class Job:
    """Inputs of the benchmark and where its files lie.

    Attributes:
        checkpoint: The trained detector, with `model.toml` beside it.
        calibration: Data set that calibration images are drawn from.
        test: Data set of test images.
        out: The benchmark's folder.
        calibration_images: How many images each method may see.
        seed: Seed of their choice, the one of `build-engines`.
    """

    checkpoint: Path
    calibration: Path
    test: Path
    out: Path
    calibration_images: int = 256
    seed: int = 0

    @property
    def model_file(self) -> Path:
        """The file that declares the detector's input and head."""
        return self.checkpoint.parent / "model.toml"

    @property
    def fp32_graph(self) -> Path:
        """The FP32 graph of the dense detector, which INT8 peers quantize."""
        return self.out / "inputs" / "fp32.onnx"

    @property
    def calibration_array(self) -> Path:
        """The calibration images as the network sees them, float32 (N, 3, size, size)."""
        return self.out / "inputs" / "calibration.npy"

    @property
    def calibration_labels(self) -> Path:
        """Video and label of each calibration image."""
        return self.out / "inputs" / "calibration.json"

    def folder(self, method: str) -> Path:
        """Where everything of one method lies."""
        return self.out / method

    @cached_property
    def contract(self) -> ModelContract:
        """What `model.toml` declares."""
        return contract_from_toml(self.model_file)

    @cached_property
    def calibration_set(self) -> SampleSet:
        """The images that `build-engines` draws from the same folder with the same seed."""
        found = samples_from_path(self.calibration, "calibration")
        require_both_classes(found, "calibration")
        return calibration_sample(found, self.calibration_images, self.seed)

    @cached_property
    def test_set(self) -> SampleSet:
        """The images that `evaluate-engines` scores; they share no video and no person with the calibration set."""
        found = samples_from_path(self.test, "test")
        require_both_classes(found, "test")
        require_disjoint(self.calibration_set, found)
        return found

    def write(self, path: Path) -> None:
        """Writes the job for the workers."""
        write_json(
            path, {name: value if isinstance(value, int) else str(value) for name, value in asdict(self).items()}
        )


def read_job(path: Path) -> Job:
    """Reads what `Job.write` wrote."""
    fields: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return Job(
        checkpoint=Path(fields["checkpoint"]),
        calibration=Path(fields["calibration"]),
        test=Path(fields["test"]),
        out=Path(fields["out"]),
        calibration_images=fields["calibration_images"],
        seed=fields["seed"],
    )
