"""The labelled images that thresholds are fitted to: a data set of one's own, or the calibration images of the run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from calibration.datasets.dataset import samples_from_path
from calibration.datasets.prepared import require_as_declared
from calibration.loading import BatchReader
from calibration.samples import SampleSet, require_both_classes, require_disjoint
from calibration.sampling import calibration_sample
from export.errors import DataError

if TYPE_CHECKING:
    from engines.spec import CalibrationSpec, RunSpec
    from export.contract import ModelContract

_READ_AT_ONCE = 8


@dataclass(frozen=True)
class Validation:
    """What thresholds can be fitted to.

    Attributes:
        samples: The images; None if there are none to be scored.
        lack: Why there are none, as the end of a sentence; empty if there are some.
    """

    samples: SampleSet | None = None
    lack: str = ""


def validation_of_path(path: Path, split: str | None, test: SampleSet, contract: ModelContract) -> Validation:
    """Returns the images of a data set; where it has splits, those of a split, or what is not for testing.

    Raises:
        DataError: There are no images, or those of one class only, or faces that were cut out otherwise than the model
            file declares, or it shares a video or a person with the test set.
    """
    samples = samples_from_path(path, "validation", split)
    require_both_classes(samples, "validation")
    require_as_declared(samples, contract)
    require_disjoint(samples, test, "validation")
    return Validation(samples)


def validation_of_calibration(spec: RunSpec) -> Validation:
    """Returns the very images that the run was calibrated with, if their folder still holds them."""
    calibration = spec.calibration
    if calibration is None:
        return Validation(lack="the run has no calibration images; pass --validation DIR")
    try:
        samples = _calibration_images(spec, calibration)
    except DataError:
        place = calibration.source or calibration.root
        return Validation(lack=f"the calibration images are not at {place}; pass --validation DIR")
    if samples.sha256 != calibration.sha256:
        return Validation(
            lack=f"{calibration.root} does not hold the images that the run was calibrated with; pass --validation DIR"
        )
    return Validation(samples)


def _calibration_images(spec: RunSpec, calibration: CalibrationSpec) -> SampleSet:
    found = samples_from_path(Path(calibration.source or calibration.root), "calibration", calibration.split or None)
    drawn = calibration_sample(found, calibration.images + calibration.unreadable, calibration.seed)
    if not calibration.unreadable:
        return drawn
    # Which ones did not decode is not written down, and the digest is that of the others.
    reader = BatchReader(drawn.samples, spec.contract.input, _READ_AT_ONCE, skip_unreadable=True, form="uint8")
    return SampleSet(found.root, tuple(sample for batch in reader for sample in batch.samples))
